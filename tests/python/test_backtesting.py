"""What a backtest reads and writes; what it finds is in test_backtest.py."""

import csv
import json
from datetime import datetime, timedelta

import pytest

from backtest import Alert, Incident, Period, backtest
from backtesting import PACKAGE_DIR, BacktestError
from backtesting.__main__ import failures_of, main, period_of
from backtesting.files import parse_moment, read_incidents, read_rows, seed_columns
from backtesting.report import duration, text_report, write_csv, write_json

HEADER = "incident_id,started_at,ended_at,model_name,detected_by\n"


def written(tmp_path, text, name="incidents.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reads_incidents(tmp_path):
    path = written(
        tmp_path,
        "\ufeffincident_id,started_at,ended_at,kind,model_name,detected_by\n"
        "a,2024-01-01T02:00:00+02:00,2024-01-01T03:00:00Z,x,churn,errors slow*;field_issues\n"
        "b,2024-01-02,,x,,\n"
        'c,2024-01-02 05:00,2024-01-02 05:00,x,,"two words;errors"\n',
    )
    first, second, third = read_incidents(path, {"errors", "two words"}, {"field_issues"})
    assert first == Incident(
        "a", datetime(2024, 1, 1), datetime(2024, 1, 1, 3), "churn",
        ("errors", "slow*"), ("field_issues",),
    )  # fmt: skip
    assert second == Incident("b", datetime(2024, 1, 2))
    assert third.detected_by == ("two words", "errors")


def test_incidents_need_neither_model_nor_names(tmp_path):
    path = written(tmp_path, "incident_id,started_at,ended_at\na,2024-01-01,2024-01-02\n")
    assert read_incidents(path) == [Incident("a", datetime(2024, 1, 1), datetime(2024, 1, 2))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("incident_id,started_at\n", "no column ended_at; its columns are incident_id, started_at"),
        ("", "no column incident_id, started_at, ended_at"),
        (HEADER + "a,soon,,,\n", "incident 'a': started_at is 'soon', which is no time such as"),
        (HEADER + "a,2024-01-01,2024-02-30,,\n", "incident 'a': ended_at is '2024-02-30'"),
        (HEADER + "a,,,,\n", "started_at is ''"),
        (HEADER + "a,2024-01-02,2024-01-01,,\n", "ended_at is before started_at"),
        (HEADER + "a,2024-01-01,,,\na,2024-01-01,,,\n", "incident_id must be there and unique"),
        (HEADER + ",2024-01-01,,,\n", "incident_id must be there and unique"),
        (HEADER + "a,2024-01-01,,,x,y\n", "line 2: more fields than columns"),
        (b"incident_id\n\xff\n", "is no CSV file in UTF-8"),
    ],
)
def test_says_what_is_wrong_with_incidents(tmp_path, text, said):
    with pytest.raises(BacktestError) as error:
        read_incidents(written(tmp_path, text))
    assert said in str(error.value)
    assert "incidents.csv" in str(error.value)


def test_says_what_is_wrong_with_rules(tmp_path):
    with pytest.raises(BacktestError, match=r"no file .*rules\.csv \(alert_rules\)"):
        read_rows(tmp_path / "rules.csv", "alert_rules")
    path = written(tmp_path, "alert_name,treshold\n", "rules.csv")
    with pytest.raises(BacktestError, match=r"has no column model_name, metric, .*threshold"):
        read_rows(path, "alert_rules")
    # Here it would be taken for empty without a word.
    needed = "alert_name,model_name,metric,window_size,comparator,threshold,runbook"
    path = written(tmp_path, f"{needed},breach_window\n", "rules.csv")
    with pytest.raises(BacktestError, match=r"the column breach_window, .*known are alert_name"):
        read_rows(path, "alert_rules")


@pytest.mark.parametrize("kind", ["alert_rules", "slo_targets"])
def test_the_seeds_can_be_read(kind):
    rows = read_rows(PACKAGE_DIR / "seeds" / f"{kind}.csv", kind)
    assert rows
    assert list(rows[0]) == seed_columns(kind)


def test_times_are_utc():
    assert parse_moment("2013-05-07T14:05:00-04:00", "FROM") == datetime(2013, 5, 7, 18, 5)
    assert parse_moment(" 2013-05-07 ", "FROM") == datetime(2013, 5, 7)
    with pytest.raises(BacktestError, match="FROM is 'May', which is no time"):
        parse_moment("May", "FROM")


def test_the_period_is_what_is_asked_for_as_far_as_there_is_history():
    history = datetime(2024, 1, 1, 5), datetime(2024, 3, 1)
    assert period_of(None, None, history) == Period(*history)
    # The last day is in it.
    assert period_of("2024-02-01", "2024-02-10", history) == Period(
        datetime(2024, 2, 1), datetime(2024, 2, 11)
    )
    assert period_of("2024-02-01T01:00", "2024-02-10T01:00Z", history) == Period(
        datetime(2024, 2, 1, 1), datetime(2024, 2, 10, 1)
    )
    assert period_of("2020-01-01", "2030-01-01", history) == Period(*history)
    with pytest.raises(BacktestError, match="there is nothing from 2025-01-01"):
        period_of("2025-01-01", None, history)


@pytest.fixture
def found():
    at = datetime(2024, 1, 1)
    hour = timedelta(hours=1)
    return backtest(
        [
            Alert("errors", "churn", at + hour, at + 5 * hour, hour),
            Alert("errors", "churn", at + 100 * hour, None, hour),
        ],
        [
            Incident("burst", at, at + 2 * hour, None, ("errors",)),
            Incident("quiet", at + 500 * hour, at + 501 * hour, None, ("errors",)),
            Incident("shown", at, at + 2 * hour, None, (), ("field_issues",)),
        ],
        severities={"errors": "page", "drift": "ticket"},
        period=Period(at, at + timedelta(days=28)),
    )


def test_writes_text(found):
    text = text_report(found)
    lines = [line.split("  ") for line in text.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert ["errors", "page", "2", "0.50", "1", "0.25", "0", "1 of 2", "1 h 00", "3 h 00"] in cells
    assert ["burst", "2024-01-01 00:00", "caught", "errors", "errors", "1 h 00"] in cells
    assert ["quiet", "2024-01-21 20:00", "missed", "errors", "–"] in cells
    assert ["errors", "page", "churn", "2024-01-05 04:00", "firing"] in cells
    assert "none: see field_issues" in text
    assert "Incidents caught: 1 of 2; 1 more that no rule can catch" in text
    assert "False alarms of severity page: 0.25 a week, at most 1 in seven days" in text


def test_writes_the_same_for_machines(found, tmp_path):
    write_json(found, tmp_path / "new" / "found.json")
    write_csv(found, tmp_path / "tables")
    content = json.loads((tmp_path / "new" / "found.json").read_text())
    assert (
        content["summary"][0]
        | {
            "weeks": 4,
            "incidents_expected": 2,
            "incidents_caught": 1,
            "false_pages_a_week": 0.25,
            "period_start": "2024-01-01T00:00:00Z",
        }
        == content["summary"][0]
    )
    assert {one["incident_id"]: one["hours_to_detect"] for one in content["incidents"]} == {
        "burst": 1, "shown": None, "quiet": None,
    }  # fmt: skip
    for name, records in content.items():
        with (tmp_path / "tables" / f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows == [
            {column: "" if value is None else str(value) for column, value in record.items()}
            for record in records
        ]


@pytest.mark.parametrize(
    ("minutes", "text"),
    [(None, "–"), (0, "0 min"), (59, "59 min"), (60, "1 h 00"), (-90, "-1 h 30"),
     (48 * 60, "2 d 00 h")],
)  # fmt: skip
def test_durations(minutes, text):
    assert duration(None if minutes is None else timedelta(minutes=minutes)) == text


def test_what_ci_fails_for(found):
    assert failures_of(found, 1) == ["quiet was not caught"]
    assert failures_of(found, 0.2)[1:] == ["0.25 false pages a week; at most 0.2 are allowed"]


def test_says_that_there_is_no_database(tmp_path, capsys):
    assert main(["--database", str(tmp_path / "none.duckdb")]) == 2
    assert "there is no database" in capsys.readouterr().err
    assert main(["--incidents", str(tmp_path / "none.csv")]) == 2
    assert "there is no file" in capsys.readouterr().err
