"""Landing files that are made to hurt: memory and time stay bounded, each is told of."""

import gzip
import json
import multiprocessing
import os
import time
import tracemalloc
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from integrity_tables import is_hash_of
from landing import (
    KEPT_LINE_BYTES,
    MOST_LINE_BYTES,
    STREAMED_COLUMNS,
    Shape,
    fits,
    parquet_batches,
    recent_files,
    text_batches,
)

SHAPE = Shape(STREAMED_COLUMNS)


def read(path, root=None):
    """Lines of a text file, what the reader says of it, the most memory, the seconds."""
    tracemalloc.start()
    start = time.monotonic()
    lines, report = [], None
    for batch in text_batches(path, "name", root):
        if 0 not in batch["line_number"].to_pylist():
            lines += batch["line"].to_pylist()
        else:
            report = batch["file_problem"][0].as_py()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return lines, report, peak, time.monotonic() - start


def read_parquet(path, as_lines=False, root=None):
    """Number of rows that a Parquet file gives, and what the reader says of it."""
    *parts, report = parquet_batches(path, "name", SHAPE, as_lines, root)
    return sum(len(part) for part in parts), report["file_problem"][0].as_py()


def test_a_line_of_a_gigabyte(tmp_path):
    path = tmp_path / "a.jsonl"
    size = 1 << 30
    with path.open("wb") as file:
        file.write(b'{"n": 1}\n{"a": "' + b"x" * 2000)
        file.seek(9 + size)  # no bytes on disk: they read as zeros
        file.write(b'\n{"n": 2}\n')
    (first, cut, last), problem, peak, seconds = read(path)
    assert (first, last) == ('{"n": 1}', '{"n": 2}')
    assert cut.startswith('{"a": "xxx')
    assert cut[KEPT_LINE_BYTES:] == f"... (cut off; the line has {size} bytes)"
    assert "lines of more than 16777216 bytes" in problem
    assert peak < 100 << 20
    assert seconds < 60


@pytest.mark.parametrize(("more", "is_cut"), [(0, False), (1, True)])
def test_the_longest_line(tmp_path, more, is_cut):
    path = tmp_path / "a.jsonl"
    line = b"{}".ljust(MOST_LINE_BYTES + more - 1) + b"x"
    path.write_bytes(b"before\n" + line + b"\nafter\n")
    lines, problem, *_ = read(path)
    assert [lines[0], lines[2]] == ["before", "after"]
    assert (lines[1] != line.decode()) is is_cut
    assert (problem is not None) is is_cut


def test_a_long_line_without_an_end_waits(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"before\n" + b"x" * (MOST_LINE_BYTES * 2))
    lines, problem, *_ = read(path)
    assert lines == ["before"]
    assert problem == f"last line is incomplete ({MOST_LINE_BYTES * 2} bytes wait for its end)"


@pytest.mark.parametrize("filling", [b"\0", b"\n"])
def test_a_few_bytes_that_unpack_to_gigabytes(tmp_path, filling):
    path = tmp_path / "a.jsonl.gz"
    member = gzip.compress(filling * ((64 << 20) // len(filling)))
    path.write_bytes(gzip.compress(b"before\n") + member * 64)
    lines, problem, peak, seconds = read(path)
    assert lines[0] == "before"
    assert "it unpacks to more than 200 times its size" in problem
    assert peak < 150 << 20
    assert seconds < 60


def test_what_packs_well_is_read_whole(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    line = json.dumps({"a": "x" * 100})
    path.write_bytes(gzip.compress(f"{line}\n".encode() * 500_000))
    assert path.stat().st_size * 200 < 500_000 * 108
    lines, problem, *_ = read(path)
    assert (len(lines), problem) == (500_000, None)


def test_parquet_that_says_the_same_a_billion_times(tmp_path):
    path = tmp_path / "a.parquet"
    same = pa.table({"request_id": pa.array(["x"] * 1_000_000)})
    with pq.ParquetWriter(path, same.schema) as writer:
        for _ in range(20):
            writer.write_table(same)
    rows, problem = read_parquet(path)
    assert rows == 0 and "20000000 rows in" in problem


@pytest.mark.parametrize("as_lines", [False, True])
def test_parquet_with_one_long_text_in_all_rows(tmp_path, as_lines):
    """Unfolded it has 64 GB: no batch may hold more than some of it."""
    path = tmp_path / "a.parquet"
    place = pa.array([0] * 65_536, pa.int32())
    same = pa.DictionaryArray.from_arrays(place, ["x" * (1 << 20)])
    pq.write_table(pa.table({"request_id": same}), path, store_schema=False)
    assert path.stat().st_size < 100_000
    *parts, report = parquet_batches(path, "name", SHAPE, as_lines)
    assert all(0 < len(part) <= 64 and part.nbytes < 100 << 20 for part in parts)
    assert 150 <= sum(map(len, parts)) <= 256
    assert "unpacks to more than 1000 times its size" in report["file_problem"][0].as_py()


def test_parquet_with_a_text_that_is_too_long(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"request_id": ["x" * (MOST_LINE_BYTES + 1)]}), path)
    assert read_parquet(path) == (
        0, f"cannot be read (it holds texts of more than {MOST_LINE_BYTES} bytes)"
    )  # fmt: skip


def test_parquet_with_types_nested_too_deeply(tmp_path):
    """As a struct in a struct in a struct: read or told of, no crash."""
    values = pa.array([1])
    for _ in range(500):
        values = pa.StructArray.from_arrays([values], ["a"])
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"request_id": ["r"], "upstream": values}), path)
    fits(path, SHAPE)
    rows, problem = read_parquet(path, as_lines=True)
    assert rows == 1 or "cannot be read" in problem


@pytest.fixture
def landing(tmp_path):
    folder = tmp_path / "landing" / "inference_events"
    folder.mkdir(parents=True)
    return folder


def in_time(function, *arguments):
    """What a function returns, in a process of its own that may not take more than 20 seconds."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply_async(function, arguments).get(20)


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
def test_what_is_no_plain_file_within_the_folder(tmp_path, landing, suffix):
    outside = tmp_path / f"secret{suffix}"
    outside.write_text('{"secret": 1}\n')
    os.mkfifo(landing / f"pipe{suffix}")
    (landing / f"zero{suffix}").symlink_to("/dev/zero")
    (landing / f"secret{suffix}").symlink_to(outside)
    (landing / f"passwd{suffix}").symlink_to("/etc/passwd")
    (landing / f"circle{suffix}").symlink_to(f"circle{suffix}")
    (landing / f"folder{suffix}").symlink_to(landing)
    expected = {
        "pipe": "it is no plain file",
        "zero": "it is a link that leads out of its folder",
        "secret": "it is a link that leads out of its folder",
        "passwd": "it is a link that leads out of its folder",
        "circle": "",
        "folder": "it is a link to a folder; those are not followed",
    }
    found = recent_files(landing.parent, landing.name, datetime(1970, 1, 1))
    assert {file["file_path"] for file in found} == {
        f"inference_events/{name}{suffix}" for name in expected
    }
    for name, reason in expected.items():
        path = landing / f"{name}{suffix}"
        if suffix == ".parquet":
            assert not in_time(fits, path, SHAPE, landing)
            content, problem = in_time(read_parquet, path, True, landing)
        else:
            content, problem, *_ = in_time(read, path, landing)
        assert not content
        assert problem.startswith("cannot be read") and reason in problem, name


def test_links_within_the_folder_are_followed(landing):
    (landing / "a.jsonl").write_text("{}\n")
    (landing / "b.jsonl").symlink_to("a.jsonl")
    link = landing.parent / "link"
    link.symlink_to(landing)
    for root in (landing, link):
        assert read(root / "b.jsonl", root)[:2] == (["{}"], None)


def as_nobody(function, *arguments):
    """Call a function as a user who may read no more than all may."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    return function(*arguments)


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
def test_a_file_that_may_not_be_read(landing, suffix):
    path = landing / f"a{suffix}"
    path.write_text("{}\n")
    for folder in [landing, *landing.parents][:4]:
        folder.chmod(0o755)
    path.chmod(0)
    function, arguments = (read_parquet, (path, True)) if suffix == ".parquet" else (read, (path,))
    content, problem, *_ = in_time(as_nobody, function, *arguments)
    assert not content and "Permission denied" in problem


def test_names_of_files(landing):
    names = [b"a\nb.jsonl", b"' or 1=1 --.jsonl", b"{{ 1 }}.jsonl", b"\xff\xfe.jsonl",
             "\u202e\u2028.jsonl".encode()]  # fmt: skip
    for name in names:
        with open(os.path.join(os.fsencode(landing), name), "wb") as file:  # noqa: PTH118, PTH123
            file.write(b"{}\n")
    found = {
        file["file_path"]: read(landing.parent / file["file_path"], landing)[:2]
        for file in recent_files(landing.parent, landing.name, datetime(1970, 1, 1))
    }
    refused = found.pop("inference_events/\\xff\\xfe.jsonl")
    assert refused == ([], "cannot be read (its name is no UTF-8; rename it)")
    names.remove(b"\xff\xfe.jsonl")
    assert found == {f"inference_events/{name.decode()}": (["{}"], None) for name in names}


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, '{"a":' * 1500 + "1" + "}" * 1500])
def test_features_that_are_nested_too_deeply_have_no_hash(text):
    assert is_hash_of("0" * 64, text) is False
