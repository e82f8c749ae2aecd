"""Landing files that are made to hurt: the build goes on, and says what it refused."""

import gzip
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq

from tests.integration.test_inputs import INGESTION
from tests.integration.warehouse import event, label

DEEP = 100_000


def test_hostile_files_cost_nothing_else(warehouse):
    good = [event(f"r{number}") for number in range(20)]
    warehouse.write("inference_events/good.jsonl", good)
    warehouse.write("labels/good.jsonl", [label(f"r{number}") for number in range(20)])
    events, labels = (warehouse.landing / name for name in ("inference_events", "labels"))
    for folder in (events, labels):
        os.mkfifo(folder / "pipe.jsonl")
        (folder / "zero.jsonl.gz").symlink_to("/dev/zero")
        (folder / "passwd.jsonl").symlink_to("/etc/passwd")
        (folder / "circle.jsonl").symlink_to("circle.jsonl")
        (folder / "loop").symlink_to(folder)
        (folder / "bomb.jsonl.gz").write_bytes(gzip.compress(bytes(64 << 20)) * 16)
        with (folder / "long.jsonl").open("wb") as file:
            file.write(b'{"a": "')
            file.seek(200 << 20)
            file.write(b"\n")
        nested = "[" * DEEP + "]" * DEEP
        (folder / "deep.jsonl").write_text(f"{nested}\n" + '{"a":' * DEEP + "\n")
        pipe = folder / "pipe.parquet"
        os.mkfifo(pipe)
        with open(os.fsencode(folder) + b"/\xff\n.jsonl", "wb") as file:  # noqa: PTH123
            file.write(b"{}\n")
    # Nested deeply where anything may be: the event counts.
    deep = json.dumps(event("deep", features="DEEP", upstream="DEEP", feature_hash="0" * 64))
    (events / "counts.jsonl").write_text(deep.replace('"DEEP"', '{"x": ' + nested + "}") + "\n")
    same = pa.table({"request_id": pa.array(["x"] * 1_000_000)})
    with pq.ParquetWriter(events / "bomb.parquet", same.schema) as writer:
        for _ in range(5):
            writer.write_table(same)
    build = warehouse.build("--select", *INGESTION, "+feature_integrity", "int_service_days")
    assert " ERROR=0 " in build.end, build.end

    found = {
        (source, path.split("/", 1)[1]): (*counts, problem or "")
        for source, path, *counts, problem in warehouse.query(
            "select input, file_path, line_count, accepted_count, rejected_count, file_problem"
            " from ml_monitoring.ingestion_reconciliation"
        )
    }
    outside, bad = "it is a link that leads out of its folder", "cannot be read"
    for source in ("inference_events", "labels"):
        assert found.pop((source, "good.jsonl")) == (20, 20, 0, "")
        assert found.pop((source, "deep.jsonl"))[:3] == (2, 0, 2)
        lines, accepted, rejected, problem = found.pop((source, "long.jsonl"))
        assert (lines, accepted, rejected) == (1, 0, 1) and "cut off" in problem
        for name, reason in {
            "pipe.jsonl": "it is no plain file", "pipe.parquet": "it is no plain file",
            "zero.jsonl.gz": outside, "passwd.jsonl": outside, "circle.jsonl": bad,
            "loop": "it is a link to a folder; those are not followed",
            "bomb.jsonl.gz": "it unpacks to more than 200 times its size",
            "\\xff\n.jsonl": "its name is no UTF-8",
        }.items():  # fmt: skip
            lines, accepted, rejected, problem = found.pop((source, name))
            assert (lines, accepted, rejected) == (0, 0, 0), name
            assert problem.startswith(bad) and reason in problem, (name, problem)
    assert "5000000 rows in" in found.pop(("inference_events", "bomb.parquet"))[3]
    assert found.pop(("inference_events", "counts.jsonl")) == (1, 1, 0, "")
    assert not found
    assert warehouse.query(
        "select count(*) from ml_monitoring_restricted.stg_rejected_lines"
        " where raw_line like '%root:%'"
    ) == [(0,)]
    long = warehouse.query(
        "select max(length(raw_line)) from ml_monitoring_restricted.stg_rejected_lines"
        " where raw_line like '%(cut off; the line has 209715200 bytes)'"
    )
    assert 1000 < long[0][0] < 6000
