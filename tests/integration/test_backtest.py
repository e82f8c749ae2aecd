"""A backtest judges other rules on what a database holds, and leaves that as it is."""

import csv
import hashlib
import json
import subprocess
import sys
from datetime import datetime, timedelta

import duckdb
import pytest

from tests.integration.warehouse import PROJECT, RULE, Warehouse, event

START = datetime(2024, 1, 20)
#: Errors of 20 requests in an hour: a burst, a small one, and an hour that was no incident.
ERRORS = {datetime(2024, 1, 24, 10): 10, datetime(2024, 1, 26, 10): 3, datetime(2024, 1, 28, 5): 1}
INCIDENTS = [
    {"incident_id": "burst", "started_at": "2024-01-24T10:00:00Z",
     "ended_at": "2024-01-24T11:00:00Z", "detected_by": "errors"},
    {"incident_id": "small", "started_at": "2024-01-26T10:00:00Z",
     "ended_at": "2024-01-26T11:00:00Z", "detected_by": "errors"},
]  # fmt: skip


def backtested(warehouse, *arguments):
    return subprocess.run(
        [
            sys.executable, "-m", "backtesting",
            *("--database", str(warehouse.database)),
            *("--folder", str(warehouse.folder / "backtests")),
            *("--incidents", str(warehouse.folder / "incidents.csv")),
            *("--vars", json.dumps(warehouse.vars)),
            *("--json", str(warehouse.folder / "found.json")),
            *arguments,
        ],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def found_in(warehouse):
    return json.loads((warehouse.folder / "found.json").read_text())


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def content_of(warehouse):
    return hashlib.sha256(warehouse.database.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    warehouse = Warehouse(tmp_path_factory.mktemp("backtest"))
    warehouse.own("alert_rules", RULE, [{"threshold": "0.2"}])
    warehouse.write(
        "inference_events/events.jsonl",
        [
            event(
                f"{hour}-{number}",
                ts=f"{(START + timedelta(hours=hour)).isoformat()}Z",
                status=503 if number < ERRORS.get(START + timedelta(hours=hour), 0) else 200,
            )
            for hour in range(24 * 12)
            for number in range(20)
        ],
    )
    build = warehouse.dbt("run")
    assert build.exit_code == 0, build.end
    write_csv(warehouse.folder / "incidents.csv", INCIDENTS)
    return warehouse


def test_the_rules_of_the_build_make_the_alerts_of_the_build(built):
    before = content_of(built)
    done = backtested(built)
    assert done.returncode == 0, done.stderr
    assert "own.alert_rules (the project's alert_rules_relation)" in done.stdout
    query = "select * from ml_monitoring.alerts order by all"
    expected = built.query(query)
    assert len(expected) == 1
    (scratch,) = (built.folder / "backtests").glob("*.duckdb")
    with duckdb.connect(str(scratch)) as connection:
        connection.execute(f"attach '{built.database}' (read_only)")
        assert connection.execute(query).fetchall() == expected
    assert content_of(built) == before
    outcomes = {one["incident_id"]: one["outcome"] for one in found_in(built)["incidents"]}
    assert outcomes == {"burst": "caught", "small": "missed"}


def test_another_threshold_is_another_result(built):
    before = content_of(built)
    rules = [
        RULE | {"threshold": "0.04"},
        # What the build had no rule for has no rolling windows.
        RULE | {"alert_name": "new_window", "window_size": "20m"},
    ]
    path = write_csv(built.folder / "rules.csv", rules)
    done = backtested(built, "--rules", path, "--strict", "--most-false-pages-a-week", "0.1")
    assert done.returncode == 1
    assert "0.58 false pages a week; at most 0.1 are allowed" in done.stderr
    assert "not caught" not in done.stderr
    found = found_in(built)
    assert {one["incident_id"]: one["hours_to_detect"] for one in found["incidents"]} == {
        "burst": 1,
        "small": 1,
    }
    (errors,) = (one for one in found["alerts"] if one["alert_name"] == "errors")
    assert (errors["alerts"], errors["false_alarms"]) == (3, 1)
    assert [one["fired_at"] for one in found["false_alarms"]] == ["2024-01-28T06:00:00Z"]
    assert (
        "WARNING new_window: no error_rate over 20m of churn is in the database. If the window is"
        " new, build once with the rule in place"
    ) in done.stdout
    assert content_of(built) == before


def test_a_rule_with_a_problem_is_said(built):
    path = write_csv(built.folder / "rules.csv", [RULE | {"threshold": "much"}])
    done = backtested(built, "--rules", path)
    assert done.returncode == 2
    assert "errors: threshold must be a number" in done.stderr
