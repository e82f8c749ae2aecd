"""The report's runbooks, and what its pages of alerts and data say of rows."""

from datetime import date, datetime, timedelta

import pytest

from report.pages.alerts import duration, measured, together, where
from report.pages.data import MOST, frequent, newest, totals
from report.runbooks import render, runbook_link, runbooks

START = datetime(2013, 5, 7, 16)


def test_a_runbook_of_the_project_has_a_page():
    link = runbook_link("docs/runbooks/latency.md", "../../")
    assert link == '<a href="../../runbooks/latency.html"><bdi>latency</bdi></a>'


@pytest.mark.parametrize("runbook", ["javascript:alert(1)", "docs/runbooks/none.md", "x" * 10_000])
def test_what_is_no_address_is_text(runbook):
    assert runbook_link(runbook, "") == f"<bdi>{runbook}</bdi>"


def test_an_address_is_linked_to_and_cannot_leave_its_attribute():
    link = runbook_link('https://wiki.example/"><script>', "")
    assert link.startswith('<a href="https://wiki.example/&#34;&gt;&lt;script&gt;">')


def test_without_a_runbook_there_is_a_dash():
    assert runbook_link(None, "") == "–"


def test_links_lead_to_pages_and_what_has_none_is_named():
    title, content = render("# A *b*\n\n[one](latency.md) [two](../estimates.md#x) <script>")
    assert title == "A *b*"
    assert '<a href="latency.html">one</a> two (docs/estimates.md) &lt;script&gt;' in content


@pytest.mark.parametrize("path", runbooks().values(), ids=lambda path: path.stem)
def test_every_runbook_can_be_shown(path):
    title, content = render(path.read_text(encoding="utf-8"))
    assert title in path.read_text(encoding="utf-8")
    assert '.md"' not in content


@pytest.mark.parametrize(
    ("value", "metric", "compare_to", "shown"),
    [
        (None, "error_rate", "value", "–"),
        (0.0, "error_rate", "value", "0.00 %"),
        (0.0123, "error_rate", "value", "1.23 %"),
        (-0.15, "label_coverage", "change_vs_baseline", "-15 points"),
        (12.5, "latency_p95_ms", "change_vs_baseline", "+12.5 ms"),
        (251.26, "latency_p95_ms", "value", "251.3 ms"),
        (2.0, "ece", "ratio_vs_baseline", "2 times"),
        (None, "ece", "ratio_vs_baseline", "–"),
        (0.25, "psi", "value", "0.25"),
    ],
)
def test_values_have_units(value, metric, compare_to, shown):
    assert measured(value, metric, compare_to) == shown


@pytest.mark.parametrize(
    ("minutes", "shown"),
    [(0, "under a minute"), (35, "35 min"), (80, "1 h 20 min"), (1440, "1 d"), (1500, "1 d 1 h")],
)
def test_durations(minutes, shown):
    assert duration(START, START + timedelta(minutes=minutes)) == shown
    assert duration(START, None) == "–"


def test_where_a_row_is():
    assert where({"slice_key": "all", "slice_value": "all"}) == "the whole model"
    assert where({"slice_key": "k", "slice_value": "v", "feature": "f"}) == "f, k = v"


def alert(start, end):
    return {"began": START + timedelta(hours=start), "until": START + timedelta(hours=end)}


def test_alerts_of_the_same_time_come_nearest_first():
    own, before, far, near = alert(2, 4), alert(0, 1), alert(0, 9), alert(3, 9)
    assert together(own, [before, far, own, near]) == [near, far]


def test_reasons_are_summed_and_undated_ones_count():
    rows = [
        {"reason": "a", "day": date(2013, 5, 2), "count": 1},
        {"reason": "b", "day": None, "count": 9},
        {"reason": "a", "day": date(2013, 5, 1), "count": 2},
    ]
    assert totals(rows) == [
        {"reason": "b", "count": 9, "first": None, "last": None},
        {"reason": "a", "count": 3, "first": date(2013, 5, 1), "last": date(2013, 5, 2)},
    ]


def test_a_chart_has_the_most_frequent_reasons():
    rows = [{"reason": str(n), "day": None, "count": n} for n in range(MOST + 5)]
    assert min(frequent(rows)["count"]) == 5


def test_the_newest_window_of_each_custom_metric():
    row = {"metric": "m", "version": "v1 live", "window_size": "1d"}
    rows = [row | {"value": 1}, row | {"value": 2}, row | {"version": "v2 live", "value": 3}]
    assert [found["value"] for found in newest(rows)] == [2, 3]
