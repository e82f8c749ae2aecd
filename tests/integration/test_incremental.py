"""A warehouse that was built step by step equals one built at once from the same files."""

import copy
import os
import random
import shutil

import pytest

from tests.integration.schedules import (
    PUBLIC,
    VARS,
    labels_of,
    set_targets,
    snapshot,
    traffic,
)
from tests.integration.warehouse import Warehouse


def full_refresh(warehouse, folder):
    """Build the same files at once, in an empty database."""
    fresh = Warehouse(folder, copy.deepcopy(warehouse.vars))
    set_targets(fresh)
    # The tests have looked at the same tables in the other warehouse.
    run = fresh.dbt("run")
    assert run.exit_code == 0, run.end
    return snapshot(fresh)


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """Build after each of four days of trouble; keep what the tables held after each."""
    rng = random.Random(11)
    folder = tmp_path_factory.mktemp("incremental")
    warehouse = Warehouse(folder, copy.deepcopy(VARS))
    set_targets(warehouse)

    def step(as_of):
        warehouse.vars["as_of"] = as_of
        # What was streamed in between leaves no trace.
        streaming = ("run", "--select", "tag:streaming")
        build = warehouse.dbt(*streaming)
        assert build.exit_code == 0, build.end
        build = warehouse.build()
        assert build.exit_code == 0, build.end
        found = snapshot(warehouse)
        expected = full_refresh(warehouse, folder / f"at_{as_of}".replace(":", "-"))
        return found, expected

    first = traffic(rng, "2024-01-10", 200, "a")
    second = traffic(rng, "2024-01-11", 200, "b")
    third = traffic(rng, "2024-01-12", 150, "c", model_version="v2")
    steps = {}

    warehouse.write("inference_events/10.jsonl.gz", first[:150])
    # Labels of events that are still to come, and an event from the future.
    warehouse.write("labels/early.jsonl", labels_of(rng, second[:50], 0.1))
    warehouse.write("inference_events/future.jsonl", third[:3])
    steps["first day"] = step("2024-01-11T00:00:00Z")

    # A late file, a growing one with a torn line, duplicates that win and that lose.
    warehouse.write("inference_events/late/10.jsonl", first[150:])
    torn = warehouse.write("inference_events/11.jsonl", second[:100])
    torn.write_text(torn.read_text() + '{"request_id": "to')
    earlier = [record | {"ts": "2024-01-10T00:00:00Z"} for record in first[:10]]
    later = [record | {"ts": "2024-01-11T09:00:00Z", "latency_ms": 1e5} for record in first[10:20]]
    warehouse.write("inference_events/again.jsonl", earlier + later)
    warehouse.write("labels/10.jsonl", labels_of(rng, first, 30))
    steps["late and twice"] = step("2024-01-11T18:30:20Z")

    # The torn file ends, one vanishes and takes a winner with it, labels are corrected twice.
    warehouse.write("inference_events/11.jsonl", second)
    (warehouse.landing / "inference_events" / "again.jsonl").unlink()
    correction = labels_of(rng, first[:40], 60)
    warehouse.write("labels/corrected.jsonl", correction + labels_of(rng, first[:10], 70))
    warehouse.write("inference_events/12.parquet.jsonl", third)
    steps["vanished and corrected"] = step("2024-01-13T12:00:00Z")

    # Another configuration, and nothing else.
    model = copy.deepcopy(warehouse.vars["monitored_models"][0])
    model["slices"] = ["plan", {"name": "age", "breaks": [30, 60]}]
    model["features"].append({"name": "country", "type": "categorical"})
    model["latency_threshold_ms"] = 35
    warehouse.vars["monitored_models"] = [model]
    os.utime(warehouse.landing / "labels" / "10.jsonl", (0, 0))
    steps["other slices"] = step("2024-01-13T12:00:00Z")
    shutil.rmtree(folder / "target", ignore_errors=True)
    return steps


@pytest.mark.parametrize(
    "step", ["first day", "late and twice", "vanished and corrected", "other slices"]
)
def test_step_by_step_equals_at_once(history, step):
    found, expected = history[step]
    for name in PUBLIC:
        assert found[name] == expected[name], name
    assert len(found["service_levels"]) > 50
    assert len(found["service_levels_rolling"]) > 20
    known = {
        name: {row[-1] for row in found[name]} for name in ("feature_drift", "model_performance")
    }
    if step != "first day":
        assert all("ok" in statuses for statuses in known.values())
        assert len(found["fairness"]) > 5
    if step == "vanished and corrected":
        # label_count and corrected_label_count
        labels, corrected = (
            sum(row[place] for row in found["label_corrections"]) for place in (8, 9)
        )
        assert 20 < corrected < labels
    assert [row[7] is not None for row in found["baselines"] if row[1] in ("all", "v1")] == [
        step in ("vanished and corrected", "other slices")
    ] * 2


def test_the_steps_made_a_difference(history):
    """Were the schedule harmless, the comparison would prove nothing."""
    first, second, third, fourth = (found for found, _ in history.values())
    for earlier, later in ((first, second), (second, third), (third, fourth)):
        for name in ("service_levels", "label_coverage", "monitoring_metrics", "feature_drift"):
            assert earlier[name] != later[name]
    outcomes = {
        path: row for _, path, *row in second["ingestion_reconciliation"] if "again" in path
    }
    assert outcomes and "inference_events/again.jsonl" not in {
        row[1] for row in third["ingestion_reconciliation"]
    }


def test_nothing_new_rebuilds_nothing(tmp_path):
    """A second build over the same files leaves every row of the summaries as it is."""
    warehouse = Warehouse(tmp_path)
    rng = random.Random(3)
    warehouse.write("inference_events/10.jsonl.gz", traffic(rng, "2024-01-10", 100, "a"))
    warehouse.write("labels/10.jsonl", labels_of(rng, traffic(rng, "2024-01-10", 90, "a"), 9))
    run = ("run", "--select", "+service_levels_minute", "+feature_drift", "+fairness",
           "int_ingested_files")  # fmt: skip
    assert warehouse.dbt(*run).exit_code == 0
    summaries = (
        "int_service_minutes", "int_service_levels_minute", "int_label_coverage_days",
        "int_feature_days", "int_feature_drift", "int_labelled_days", "int_performance",
    )  # fmt: skip
    rows = "select rowid, * from ml_monitoring_internal.{} order by all"
    before = [warehouse.query(rows.format(name)) for name in summaries]
    assert all(before)
    assert warehouse.dbt(*run).exit_code == 0
    assert [warehouse.query(rows.format(name)) for name in summaries] == before
    changed = warehouse.query(
        "select count(*) from ml_monitoring_restricted.stg_landing_files where is_changed"
    )
    assert changed == [(0,)]
    counted = warehouse.query("select count(*) from ml_monitoring_internal.int_prediction_bins")
    assert counted == [(0,)]


def test_a_database_of_an_earlier_version_reads_its_files_anew(tmp_path):
    """Its ledger does not know of closed files, nor its summaries of what came later."""
    warehouse = Warehouse(tmp_path)
    set_targets(warehouse)
    rng = random.Random(5)
    warehouse.write("inference_events/10.jsonl.gz", traffic(rng, "2024-01-10", 100, "a"))
    assert warehouse.dbt("run").exit_code == 0
    before = snapshot(warehouse)
    warehouse.execute("alter table ml_monitoring_internal.int_ingested_files drop column is_closed")
    missing = {"performance": "r2", "feature_drift": "out_of_range_rate"}
    for name in ("service_minutes", "service_hours", "service_days", "service_levels_minute",
                 "service_rolling"):  # fmt: skip
        missing[name] = "slow_count"
    for name, column in missing.items():
        table = f"ml_monitoring_internal.int_{name}"
        warehouse.execute(f"alter table {table} drop column {column}")
        warehouse.execute(f"update {table} set revision = 1")
    # A streaming run that comes before the next main build lives with it.
    streaming = warehouse.dbt("run", "--select", "tag:streaming")
    assert streaming.exit_code == 0, streaming.end
    run = warehouse.dbt("run")
    assert run.exit_code == 0, run.end
    assert "every file is read anew" in run.output
    assert snapshot(warehouse) == before
    assert any(row[13] for row in before["service_levels_rolling"])
