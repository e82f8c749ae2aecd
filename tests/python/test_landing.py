import gzip
import json
import os
import re
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landing import (
    BLOCK_BYTES,
    STREAMED_COLUMNS,
    FileReport,
    Shape,
    as_json,
    complete_lines,
    event_shape,
    recent_files,
    split_lines,
    text_batches,
)


def read(path):
    """The lines of a file with their numbers, and the reader's report of it."""
    *batches, report = list(text_batches(path, "name"))
    lines = [
        (number, line)
        for batch in batches
        for number, line in zip(
            batch["line_number"].to_pylist(), batch["line"].to_pylist(), strict=True
        )
    ]
    return lines, report["file_line_count"][0].as_py(), report["file_problem"][0].as_py()


LINES = st.lists(st.text(alphabet="ab\u00e4\U0001f986 \t{}", max_size=12), max_size=20)


@given(LINES, st.booleans(), st.booleans(), st.booleans())
def test_every_complete_line_is_read_once(tmp_path_factory, lines, is_gzip, has_mark, is_windows):
    end = "\r\n" if is_windows else "\n"
    content = "".join(line + end for line in lines).encode()
    content = b"\xef\xbb\xbf" * has_mark + content
    path = tmp_path_factory.mktemp("lines") / ("a.jsonl.gz" if is_gzip else "a.jsonl")
    path.write_bytes(gzip.compress(content) if is_gzip else content)
    found, count, problem = read(path)
    expected = [
        (number, line.strip(" \t")) for number, line in enumerate(lines, 1) if line.strip(" \t")
    ]
    assert found == expected
    assert (count, problem) == (len(expected), None)


@given(LINES, st.text(alphabet="xy", min_size=1))
def test_unterminated_line_waits(tmp_path_factory, lines, tail):
    path = tmp_path_factory.mktemp("torn") / "a.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines) + tail)
    found, _, problem = read(path)
    assert tail not in [line for _, line in found]
    assert "incomplete" in problem


def test_lines_longer_than_a_block(tmp_path):
    path = tmp_path / "a.jsonl"
    long = "x" * (2 * BLOCK_BYTES + 7)
    path.write_text(f"a\n{long}\nb\n")
    found, count, problem = read(path)
    assert found == [(1, "a"), (2, long), (3, "b")]
    assert (count, problem) == (3, None)


@given(st.binary(max_size=200), st.integers(0, 100))
def test_any_bytes_are_read_without_a_crash(tmp_path_factory, content, keep):
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "a.jsonl").write_bytes(content)
    found, count, _ = read(folder / "a.jsonl")
    assert count == len(found)
    cut = gzip.compress(content * 50, mtime=0)
    (folder / "b.jsonl.gz").write_bytes(cut[: len(cut) * keep // 100])
    read(folder / "b.jsonl.gz")
    (folder / "c.jsonl.gz").write_bytes(content)
    read(folder / "c.jsonl.gz")


def test_missing_file_is_a_problem_not_a_crash(tmp_path):
    report = FileReport()
    assert list(complete_lines(tmp_path / "gone.jsonl", report)) == []
    assert "cannot be read" in report.problem


def test_bytes_that_are_not_utf8_are_kept_as_text_that_is_no_json():
    lines, _ = split_lines(b'{"a": "\xff"}\n{"b": 1}\n')
    assert lines.to_pylist() == ['{"a": "\\xff"}', '{"b": 1}']


HALVES = st.text(alphabet='a\\"\n\U0001f986\ud83e\udd86ud', max_size=12)


@given(HALVES)
def test_half_an_emoji_does_not_cost_the_line(text):
    encoded = json.dumps(text).encode() + b"\n"
    lines, _ = split_lines(encoded)
    found = json.loads(lines[0].as_py())
    assert found == re.sub("[\ud800-\udfff]", "\ufffd", json.loads(encoded))


def test_recent_files_are_listed_whatever_is_around_them(tmp_path):
    since = datetime(2024, 1, 10, 12)
    folder = tmp_path / "inference_events"
    for name, minutes in [
        ("a.jsonl", 0), ("day/b.jsonl.gz", 1), ("day/hour/c.parquet", 1e6),
        ("old.jsonl", -1), ("day/note.txt", 1), ("d.jsonl.partial", 1),
    ]:  # fmt: skip
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 7)
        moment = (since + timedelta(minutes=minutes)).replace(tzinfo=UTC).timestamp()
        os.utime(path, (moment, moment))
    (folder / "loop").symlink_to(folder)
    (folder / "dangling.jsonl").symlink_to(tmp_path / "nowhere")
    (folder / "circle.jsonl").symlink_to("circle.jsonl")
    found = {file["file_path"]: file for file in recent_files(tmp_path, "inference_events", since)}
    assert sorted(found) == [
        f"inference_events/{name}"
        for name in ("a.jsonl", "circle.jsonl", "day/b.jsonl.gz", "day/hour/c.parquet", "loop")
    ]
    assert found["inference_events/a.jsonl"]["modified_at"] == since
    assert found["inference_events/a.jsonl"]["file_size"] == 7
    assert recent_files(tmp_path, "labels", since) == []


def test_streaming_reads_no_features():
    names = ["ts", "model", "features", "status", "score", "other"]
    assert Shape(STREAMED_COLUMNS).wanted(names) == ["ts", "model", "status"]
    models = [{"features": [{"name": "age", "type": "numerical"}]}]
    assert event_shape(models).wanted(names) == ["ts", "model", "features", "status", "score"]
    # A file whose features nobody could read is no matter to streaming.
    assert Shape(STREAMED_COLUMNS).fits(
        pa.schema({"features": pa.int64(), "ts": pa.timestamp("us")})
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            pa.array([{"api": {"status": 200, "latency_ms": 1.5}}, None, {"api": None}]),
            [{"api": {"status": 200, "latency_ms": 1.5}}, None, {"api": None}],
        ),
        (
            pa.array([{"imputed": ['a "b"', "\u00e9\n"]}, {"imputed": []}]),
            [{"imputed": ['a "b"', "\u00e9\n"]}, {"imputed": []}],
        ),
        # A key twice: DuckDB has no such map.
        (
            pa.array([[("a", 1.0), ("a", 2.0)], None], pa.map_(pa.string(), pa.float64())),
            [{"a": 2.0}, None],
        ),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), [{"a": 1}]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_objects_become_json(values, expected):
    """Whatever a struct or map of Parquet holds, as JSON text of the same length."""
    found = as_json(values)
    assert found.type == pa.string()
    assert [None if text is None else json.loads(text) for text in found.to_pylist()] == expected
