"""Reports of alerts from a small database made by hand, and what Markdown makes of names."""

import csv
import re
from datetime import datetime, timedelta

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rca import PACKAGE_DIR, RcaError
from rca.__main__ import main
from rca.incidents import TRUTH, incidents_text, ranked_incidents, read_truth
from rca.markdown import escape, table
from rca.reading import Database, parse_moment, read_incident, window_before
from rca.report import contributions_text, incident_report, timeline

AT = datetime(2024, 3, 1, 8)
HOUR = timedelta(hours=1)
EVIL = "a|b\n# <script>x</script> [l](http://e.x) `c` *d* _e_"
KEY = {
    "model_name": "churn", "model_version": "v1", "role": "live", "slice_key": "all",
    "slice_value": "all", "window_size": "1h", "window_start": AT, "window_end": AT + HOUR,
}  # fmt: skip
ALERT = KEY | {
    "alert_id": "abcd1234", "alert_name": "p95", "severity": "page", "state": "resolved",
    "started_at": AT, "fired_at": AT + HOUR, "resolved_at": AT + 3 * HOUR,
    "metric": "latency_p95_ms", "feature": None, "comparator": ">", "threshold": 250.0,
    "worst_value": 512.5, "runbook": "docs/runbooks/latency.md", "data_status": "ok",
}  # fmt: skip
SUSPECT = KEY | {
    "alert_id": "abcd1234", "alert_name": "p95", "metric": "latency_p95_ms",
    "suspect_kind": "upstream", "suspect": EVIL, "started_at": AT, "evidence": "answered in 300 ms",
    "score": 0.875, "suspect_rank": 1, "runbook": "docs/runbooks/latency.md", "data_status": "ok",
}  # fmt: skip
LINE = KEY | {
    "alert_id": "abcd1234", "feature": None, "started_at": AT, "fired_at": AT + HOUR,
    "resolved_at": AT + 3 * HOUR, "worst_value": 512.5, "slice_key": "plan", "slice_value": EVIL,
}  # fmt: skip
CONTRIBUTION = KEY | {
    "alert_id": "abcd1234", "metric": "latency_p95_ms", "contribution_kind": "slice",
    "slice_key": "plan", "slice_value": EVIL, "reference_start": AT - 24 * HOUR,
    "reference_end": AT, "current_start": AT, "current_end": AT + HOUR, "reference_value": 100.0,
    "value": 500.0, "change": 400.0, "share": 0.25, "reference_slice_value": 90.0,
    "slice_metric_value": 900.0, "mix_effect": 0.0, "within_effect": 300.0, "contribution": 300.0,
    "contribution_share": 0.75, "contribution_rank": 1, "cause_rank": 1, "is_distinct": True,
    "data_status": "ok",
}  # fmt: skip


def write(path, *, alerts=(ALERT,), suspects=(SUSPECT,), contributions=(CONTRIBUTION,)):
    """Make a database as a build would leave it, as far as reports read it."""
    looked_at = [
        {name: SUSPECT[name] for name in ("alert_id", "suspect_kind", "suspect", "evidence")}
        | {"score": 0.0, "suspect_rank": 2, "suspect_kind": "null_rate", "suspect": "age"}
    ]
    hours = [
        KEY | {"window_start": start, "window_end": start + HOUR, "request_count": 40,
               "error_count": 4, "slow_count": slow, "latency_p95_ms": 100.0 + slow}
        for start, slow in ((AT, 30), (AT + HOUR, 20), (AT - timedelta(days=7), 1))
    ]  # fmt: skip
    coverage = KEY | {
        "window_size": "1d", "window_start": AT.replace(hour=0), "label_view": "latest",
        "window_end": AT.replace(hour=0) + timedelta(days=1), "prediction_count": 900,
        "labeled_count": 850,
    }  # fmt: skip
    spans = [
        {"alert_id": row["alert_id"], "event_from": row["started_at"],
         "event_to": row["started_at"] + HOUR}
        for row in alerts
    ]  # fmt: skip
    releases = [
        {"model_name": "churn", "model_version": version, "role": "live", "problem": None,
         "deployed_from": start, "deployed_to": None}
        for version, start in (("v1", AT - timedelta(days=2)), ("v0", AT - timedelta(days=90)))
    ]  # fmt: skip
    tables = {
        "m.alerts": (ALERT, alerts),
        "m.root_cause_suspects": (SUSPECT, suspects),
        "m.alert_lines": (LINE, [LINE]),
        "m.root_cause_contributions": (CONTRIBUTION, contributions),
        "m.service_levels": (hours[0], hours),
        "m.label_coverage": (coverage, [coverage]),
        "m_internal.int_suspect_alerts": (spans[0] if spans else {"alert_id": ""}, spans),
        "m_internal.int_root_cause_suspects": (looked_at[0], looked_at),
        "m_internal.stg_deployments": (releases[0], releases),
        "m_internal.int_as_of": ({"as_of": AT}, [{"as_of": AT + timedelta(days=9)}]),
    }
    kinds = {str: "varchar", float: "double", int: "bigint", bool: "boolean",
             datetime: "timestamp", type(None): "varchar"}  # fmt: skip
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema m; create schema m_internal")
        for name, (form, rows) in tables.items():
            # No column is a timestamp in one row and null in the form, but a release's end.
            columns = ", ".join(
                f'"{column}" {"timestamp" if column == "deployed_to" else kinds[type(value)]}'
                for column, value in form.items()
            )
            connection.execute(f"create table {name} ({columns})")
            for row in rows:
                marks = ", ".join("?" * len(form))
                connection.execute(
                    f"insert into {name} values ({marks})", [row[column] for column in form]
                )
    return path


@pytest.fixture
def database(tmp_path):
    return Database(write(tmp_path / "w.duckdb"), "m")


def test_report(database):
    """Each part of the template, with the figures of the tables."""
    text = incident_report(read_incident(database, "abcd1234"))
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# p95 of churn v1, 2024-03-01 08:00 UTC", "## Summary", "## Impact", "## Timeline",
        "## Detection", "## Root cause", "### What else changed", "### Where the change came from",
        "### Checked and found normal", "## Runbooks", "## What went well, what went badly",
        "## Actions",
    ]  # fmt: skip
    assert "| incident | v1 live | 80 | 8 (10.0 %) | 50 (62.5 %) | 130 |" in text
    assert "| a week before | v1 live | 40 | 4 (10.0 %) | 1 (2.5 %) | 101 |" in text
    assert "Predictions on the days of it: 900, of which 850 have a label" in text
    assert "It could fire 60 minutes after the first breach began. It was open for 2 hours" in text
    assert "latency_p95_ms went from 100 (2024-02-29 08:00 to 2024-03-01 08:00) to 500" in text
    assert "| 25.0 % | 90 | 900 | 300 | 75.0 % | 0 | 300 | yes |" in text
    assert "| missing values of features | 1 | age: answered in 300 ms |" in text
    assert "| rejected lines |  | none in that time |" in text
    assert "- docs/runbooks/latency.md\n\n##" in text
    assert text.count("to fill in") >= 8


def test_names_from_outside_are_shown_as_they_are(database):
    """No line, cell, link or tag is made of them."""
    text = incident_report(read_incident(database, "abcd1234"))
    assert "<script" not in text
    assert not re.search(r"(?<!\\)\]\(", text)
    assert "http://" not in text
    for line in text.splitlines():
        if "script" in line:
            # A table keeps its columns.
            assert line.startswith(("| ", "latency"))
    (row,) = [line for line in text.splitlines() if line.startswith("| 1 | upstream")]
    assert row.count("|") == 7
    assert "a&#124;b \\# &lt;script&gt;x&lt;/script&gt; \\[l\\](http&#58;//e.x)" in row


@given(st.text(max_size=80))
def test_escape(text):
    """One line, no cell, tag, code or link, whatever the text."""
    found = escape(text)
    assert len(found.splitlines()) <= 1
    for char in "|<>@":
        assert char not in found
    for number, char in enumerate(found):
        if char in "`*[]#~":
            # The # of an entity is none of Markdown.
            before = found[number - 1] if number else ""
            assert before == "\\" or (char == "#" and before == "&")
    assert "://" not in found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""), (7, "7"), ("weather_api: slow", "weather_api: slow"), ("_a_", "\\_a\\_"),
        ("a\r\nb\u2028c", "a b c"), ("\\", "\\\\"), ("x" * 400, "x" * 299 + "…"),
    ],
)  # fmt: skip
def test_escape_by_hand(value, expected):
    assert escape(value) == expected


def test_table():
    assert table(["a", "n#"], [("x|y", 1)]) == "| a | n |\n|---|---:|\n| x&#124;y | 1 |"


def test_timeline(database):
    """In order, each thing once; releases within a week."""
    found = timeline(read_incident(database, "abcd1234"))
    assert [at for at, _ in found] == sorted(at for at, _ in found)
    assert found[0] == (AT - timedelta(days=2), "v1 goes live")
    assert not [what for _, what in found if what.startswith("v0")]
    assert found[-1][0] == AT + 3 * HOUR


def test_nothing_else_changed(tmp_path):
    """An alert without suspects or contributions says so."""
    path = write(tmp_path / "w.duckdb", suspects=(), contributions=())
    text = incident_report(read_incident(Database(path, "m"), "abcd1234"))
    assert "Nothing else that the tables know of changed with it." in text
    assert "Nothing that was looked at changed when the metric did." in text
    assert "cannot be split among slices (`not_applicable`)" in text


def test_contributions_without_a_standout():
    """Then the report points at what all slices share."""
    row = CONTRIBUTION | {"is_distinct": False}
    assert "look at what all share" in contributions_text([row])
    immature = CONTRIBUTION | {"contribution": None, "data_status": "no_baseline"}
    assert "`no_baseline`" in contributions_text([immature])


def test_commands(tmp_path, capsys):
    """List, report, and errors that name cause and cure."""
    path = write(tmp_path / "w.duckdb")
    base = ["--database", str(path), "--schema", "m", "--folder", str(tmp_path / "out")]
    assert main(base) == 0
    assert (
        "abcd1234  2024-03-01 08:00  resolved  p95 (churn v1): upstream" in capsys.readouterr().out
    )
    assert main([*base, "--alert", "abcd1234"]) == 0
    assert (tmp_path / "out" / "abcd1234.md").read_text() in capsys.readouterr().out

    def error(*arguments):
        assert main(list(arguments)) == 2
        return capsys.readouterr().err

    assert "Similar, or the newest:\n  abcd1234  p95" in error(*base, "--alert", "abcd1239")
    assert "`make build`" in error("--database", str(tmp_path / "none.duckdb"))
    duckdb.connect(str(tmp_path / "empty.duckdb")).close()
    assert "run `make build`" in error("--database", str(tmp_path / "empty.duckdb"))
    (tmp_path / "text.duckdb").write_text("no database" * 1000)
    assert "cannot be opened" in error("--database", str(tmp_path / "text.duckdb"))
    assert "METRIC needs MODEL and VERSION and FROM and TO" in error(*base, "--metric", "roc_auc")
    assert "is no date" in error(
        *base,
        "--metric",
        "x",
        "--model",
        "m",
        "--model-version",
        "v",
        "--from",
        "soon",
        "--to",
        "?",
    )


def test_no_alerts(tmp_path, capsys):
    path = write(tmp_path / "w.duckdb", alerts=(), suspects=())
    assert main(["--database", str(path), "--schema", "m"]) == 0
    assert "has no alerts" in capsys.readouterr().out


def test_moments():
    """UTC, with or without a zone; a window before has the same hours of the day."""
    assert parse_moment("2024-03-01", "FROM") == datetime(2024, 3, 1)
    assert parse_moment("2024-03-01T02:00:00+02:00", "FROM") == datetime(2024, 3, 1)
    assert parse_moment("2024-03-01T00:00:00Z", "FROM") == datetime(2024, 3, 1)
    assert window_before(AT, AT + HOUR) == (AT - timedelta(days=1), AT - timedelta(days=1) + HOUR)
    week = timedelta(days=7)
    assert window_before(AT, AT + week) == (AT - week, AT)
    assert window_before(AT, AT + week + HOUR)[0] == AT - timedelta(days=8)


def test_incidents(database, tmp_path):
    """The rank of the true cause, or that there is no alert or no such suspect."""
    rows = [
        {"incident_id": name, "kind": kind, "started_at": start, "ended_at": start,
         "detected_by": "p95", "model_name": "churn"}
        for name, kind, start in (
            ("found", "label_outage", "2024-03-01T08:00:00Z"),
            ("gone", "latency_incident", "2024-05-01T08:00:00Z"),
        )
    ]  # fmt: skip
    path = tmp_path / "incidents.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    found, gone = ranked_incidents(database, read_truth(path))
    assert (found["alert_id"], found["rank"]) == ("abcd1234", None)
    assert (gone["alert_id"], gone["rank"]) == (None, None)
    assert "Of 2 incidents 1 have an alert" in incidents_text([found, gone])
    (right,) = ranked_incidents(
        database,
        [row | {"truth_kind": "upstream", "truth_suspect": "a|b"} for row in read_truth(path)[:1]],
    )
    assert right["rank"] == 1
    path.write_text(path.read_text().replace("label_outage", "meteorite"))
    with pytest.raises(RcaError, match="meteorite"):
        read_truth(path)


def test_truth_of_the_demo():
    """Each kind of incident of the demo has its true cause."""
    with (PACKAGE_DIR / "demo" / "incidents.csv").open(newline="") as file:
        assert {row["kind"] for row in csv.DictReader(file)} == set(TRUTH)
