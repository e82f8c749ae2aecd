"""Raw events end after their retention, and no published number changes by it."""

import copy
import random
import shutil

import pytest

from tests.integration.schedules import (
    PUBLIC,
    differences,
    labels_of,
    set_targets,
    snapshot,
    traffic,
)
from tests.integration.warehouse import MODEL, Warehouse, event, label

VARS = {
    "monitored_models": [MODEL | {"baseline": {"start": "2024-01-01", "end": "2024-01-03"}}],
    "drift_windows_days": [1, 2],
    "performance_windows_days": [1, 2],
    "min_samples": 10,
    "min_samples_per_class": 2,
    "custom_metrics": [
        {"name": "mean_age", "expression": "avg(numerical_features.age)", "windows_days": [1, 2]},
        {"name": "mean_label", "expression": "avg(label)", "over": "labels"},
    ],
}
#: Days before this are closed after the build of January 11.
CLOSED = "2024-01-07"
RETENTION = {"raw_retention_days": 4}


def write_day(warehouse, day, count=60):
    """Events and labels of a day; some events come twice, some lines are broken."""
    rng = random.Random(day)
    name = f"2024-01-{day:02}"
    events = traffic(rng, name, count, f"{day}-")
    events[7]["latency_ms"] = -1
    again = [copy.deepcopy(record) for record in events[:5]]
    for record in again[:3]:
        record["latency_ms"] = 5.0
    broken = ["not json", event("x", ts=f"{name}T01:00:00Z", status=700)]
    warehouse.write(f"inference_events/{name}.jsonl.gz", events + again + broken)
    unfit = label(events[0]["request_id"], label=7, labeled_at=f"{name}T23:59:59Z")
    warehouse.write(f"labels/{name}.jsonl", [*labels_of(rng, events[:50], 30), unfit, "{}"])
    return events


def write_pair_across_the_boundary(warehouse):
    """One identity on two days: the line of the closed day has won."""
    for day in (6, 8):
        warehouse.write(f"inference_events/pair-{day}.jsonl", [
            event("pair", ts=f"2024-01-{day:02}T12:00:00Z", latency_ms=day)
        ])  # fmt: skip


def run(warehouse, day, **more_vars):
    build = warehouse.dbt("run", **{"as_of": f"2024-01-{day:02}T06:00:00Z"} | more_vars)
    assert build.exit_code == 0, build.end


def differing(found, expected):
    return [name for name in PUBLIC if found[name] != expected[name]]


def raw_dates(warehouse):
    (dates,) = warehouse.query("""
        select list(distinct event_date::varchar order by event_date::varchar)
        from ml_monitoring_restricted.stg_inference_lines
        where line_number > 0 and event_date is not null
    """)[0]
    return dates


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """Two warehouses built from the same files; one has dropped its raw events."""
    folder = tmp_path_factory.mktemp("retention")
    control = Warehouse(folder / "control", copy.deepcopy(VARS))
    set_targets(control)
    for day in range(1, 11):
        write_day(control, day)
    write_pair_across_the_boundary(control)
    run(control, 11)
    kept = Warehouse(folder / "kept", copy.deepcopy(VARS))
    shutil.copy(control.database, kept.database)
    shutil.copytree(control.landing, kept.landing, dirs_exist_ok=True)
    kept.vars["landing_path"] = control.vars["landing_path"] = str(folder / "landing")
    shutil.copytree(control.landing, folder / "landing")
    run(control, 11)
    run(kept, 11, **RETENTION)
    return folder / "landing", control, kept


def test_raw_events_are_dropped_and_numbers_stay(closed):
    landing, control, kept = closed
    expected = snapshot(control)
    filled = ("feature_drift", "model_performance", "field_issues", "custom_metrics")
    assert all(expected[name] for name in filled)
    assert raw_dates(control)[0] == "2024-01-01"
    # Of the pair on two days the winner stays as long as the other does.
    assert raw_dates(kept) == ["2024-01-06", "2024-01-07", "2024-01-08", "2024-01-09", "2024-01-10"]
    held = kept.query("select count(*) from ml_monitoring_internal.int_label_history")
    assert 0 < held[0][0] < control.query("select count(*) from ml_monitoring_internal.int_label_history")[0][0]  # noqa: E501  # fmt: skip
    assert differing(snapshot(kept), expected) == []
    # The files of closed days may go; nothing is built anew of them.
    for day in range(1, 6):
        (landing / f"inference_events/2024-01-{day:02}.jsonl.gz").unlink()
        (landing / f"labels/2024-01-{day:02}.jsonl").unlink()
    before = kept.query("select rowid, * from ml_monitoring_internal.int_service_days order by all")
    run(kept, 11, **RETENTION)
    assert differing(snapshot(kept), expected) == []
    assert before == kept.query(
        "select rowid, * from ml_monitoring_internal.int_service_days order by all"
    )


def test_what_comes_late_for_closed_days_counts_nothing(closed):
    landing, _, kept = closed
    run(kept, 11, **RETENTION)
    before = snapshot(kept)
    late = [event(f"late-{number}", ts="2024-01-03T12:00:00Z") for number in range(4)]
    kept.landing.joinpath("inference_events").mkdir(parents=True, exist_ok=True)
    Warehouse.write(kept, "late.jsonl", late)
    Warehouse.write(kept, "late-labels.jsonl", [
        label("3-7", label=1, labeled_at="2024-01-10T12:00:00Z")
    ])  # fmt: skip
    events, labels = landing / "inference_events/late.jsonl", landing / "labels/late.jsonl"
    shutil.copy(kept.landing / "late.jsonl", events)
    shutil.copy(kept.landing / "late-labels.jsonl", labels)
    run(kept, 11, **RETENTION)
    after = snapshot(kept)
    assert set(differing(after, before)) <= {
        "ingestion_reconciliation", "rejected_records", "data_quality", "monitoring_metrics",
        "slo_status",
    }  # fmt: skip
    rejected = kept.query("""
        select reject_reason, count(*) from ml_monitoring.rejected_records
        where file_path = 'inference_events/late.jsonl' group by all
    """)
    assert rejected == [("after_retention", 4)]
    unmatched = kept.query("""
        select unmatched_count, line_count from ml_monitoring.ingestion_reconciliation
        where file_path = 'labels/late.jsonl'
    """)
    assert unmatched == [(1, 1)]
    closed_days = [row for row in after["data_quality"] if str(row[6]) < CLOSED]
    assert closed_days == [row for row in before["data_quality"] if str(row[6]) < CLOSED]
    events.unlink()
    labels.unlink()
    run(kept, 11, **RETENTION)
    assert differing(snapshot(kept), before) == []


def test_another_configuration_leaves_closed_days(closed):
    """Open days follow the new configuration, closed ones keep what was computed."""
    landing, _, kept = closed
    # Read anew, the line of a closed day is rejected, and the other would win.
    for pair in landing.glob("inference_events/pair-*"):
        pair.unlink()
    run(kept, 11, **RETENTION)
    before = snapshot(kept)
    model = VARS["monitored_models"][0] | {
        "slices": ["plan"],
        "features": [*MODEL["features"], {"name": "country", "type": "categorical"}],
    }
    run(kept, 11, monitored_models=[model], **RETENTION)
    after = snapshot(kept)

    def days(tables, **wanted):
        return [row for row in tables["service_levels"] if row[5] == "1d" and all(
            (str(row[6]) < CLOSED) == value if name == "closed" else row[3] == value
            for name, value in wanted.items()
        )]  # fmt: skip

    assert days(after, closed=True) == days(before, closed=True) != []
    assert days(before, closed=False, slice_key="country")
    assert not days(after, closed=False, slice_key="country")
    # Which of two lines of one moment wins depends on all declared content.
    assert [row[:9] for row in days(after, closed=False, slice_key="all")] == [
        row[:9] for row in days(before, closed=False, slice_key="all")
    ]
    run(kept, 11, **RETENTION)
    again = snapshot(kept)
    assert differing(again, before) == [], differences(differing(again, before), again, before)


def test_a_full_refresh_is_refused(closed):
    _, _, kept = closed
    database = kept.folder / "before.duckdb"
    shutil.copy(kept.database, database)
    build = kept.dbt("run", "--full-refresh", as_of="2024-01-11T06:00:00Z", **RETENTION)
    assert build.exit_code != 0
    assert "would lose all history before that day" in build.output
    assert "lose_history: true" in build.output
    model = VARS["monitored_models"][0] | {"baseline": {"start": "2024-01-02", "end": "2024-01-04"}}
    build = kept.dbt("run", as_of="2024-01-11T06:00:00Z", monitored_models=[model], **RETENTION)
    assert "a new baseline that begins before 2024-01-07" in build.output
    build = kept.dbt(
        "run", "--full-refresh", as_of="2024-01-11T06:00:00Z", lose_history=True, **RETENTION
    )
    assert build.exit_code == 0, build.end
    assert min(str(row[6]) for row in snapshot(kept)["service_levels"]) >= "2024-01-06"
    shutil.move(database, kept.database)


def test_minutes_and_windows_end_too(closed):
    _, control, _ = closed
    warehouse = Warehouse(control.folder / "minutes", copy.deepcopy(control.vars))
    warehouse.vars["landing_path"] = str(control.landing)
    shutil.copy(control.database, warehouse.database)
    run(warehouse, 11)
    expected = snapshot(warehouse)
    for _ in range(2):
        run(warehouse, 11, minute_retention_days=3)
    found = snapshot(warehouse)
    minutes = expected["service_levels_minute"]
    assert found["service_levels_minute"] == [row for row in minutes if str(row[6]) >= "2024-01-08"]
    assert len(found["service_levels_minute"]) < len(minutes)
    for name in ("service_levels", "service_traffic", "feature_drift", "label_coverage"):
        assert found[name] == expected[name]


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [("raw_retention_days", 3, 4), ("minute_retention_days", 1, 2),
     ("summary_retention_days", 61, 62), ("raw_retention_days", "long", 4)],
)  # fmt: skip
def test_a_retention_too_short_is_refused(tmp_path, name, value, least):
    warehouse = Warehouse(tmp_path, copy.deepcopy(VARS))
    build = warehouse.dbt("run", "--select", "int_as_of", **{name: value})
    assert build.exit_code != 0
    assert f"`{name}` is `{value}`" in build.output
    assert f"whole number of days from {least}" in build.output.replace("\n", " ")
