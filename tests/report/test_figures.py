"""Figures on the pages are those of the tables, which are read by queries of their own."""

import json

import pytest

from tests.report.project import VERSION, open_page, pages_of

# Of tables below a heading, the cells of all rows: those too that the filters hide.
ROWS = """
(heading) => {
    const headings = [...document.querySelectorAll("h2, summary")];
    const start = headings.find((found) => found.textContent === heading);
    const table = [...document.querySelectorAll("table")].find((t) =>
        start.compareDocumentPosition(t) & Node.DOCUMENT_POSITION_FOLLOWING);
    return [...table.tBodies[0].rows].map((row) =>
        [...row.cells].map((cell) => cell.textContent.replace(/\\s+/g, " ").trim()));
}
"""


def short(value, form=",.3g"):
    return "–" if value is None else format(value, form)


def percent(value, digits=1):
    return "–" if value is None else f"{100 * value:.{digits}f} %"


@pytest.fixture
def rows(page, site):
    """The rows of the table below a heading of a page of the model."""

    def read(name, heading):
        (path,) = (
            path
            for path in pages_of(site)
            if path.startswith("models/") and path.endswith(f"/{name}.html")
        )
        if not page.url.split("#")[0].endswith(path):
            open_page(page, site, path)
        return page.evaluate(ROWS, heading)

    return read


def test_figures_are_those_of_the_tables(page, site, warehouse):
    open_page(page, site, "index.html")
    rows = warehouse.query("""
        select slo_name, sli_value, is_breached from ml_monitoring.slo_status
        where sli_value is not null
    """)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    shown = [row.inner_text().split("\t") for row in page.locator("details tbody tr").all()]
    for name, value, is_breached in rows:
        assert any(
            row[0] == name
            and row[4] == format(value, ",.4g")
            and ("missed" in row[6]) == is_breached
            for row in shown
        ), (name, value)

    (path,) = (path for path in pages_of(site) if path.endswith("/service.html"))
    open_page(page, site, path)
    data = json.loads(page.evaluate("document.getElementById('data').textContent"))
    days = data["days"]
    found = dict(zip(
        zip(days["version"], days["role"], days["time"], strict=True),
        zip(days["p95"], days["error_rate"], days["requests"], strict=True), strict=True,
    ))  # fmt: skip
    expected = warehouse.query("""
        select model_version, role, strftime(window_start, '%Y-%m-%dT%H:%M:%SZ'),
            latency_p95_ms, error_rate, request_count
        from ml_monitoring.service_levels where slice_key = 'all' and window_size = '1d'
    """)
    assert found == {tuple(row[:3]): tuple(row[3:]) for row in expected}


def test_performance(rows, warehouse):
    newest = warehouse.query("""
        select
            model_version || ' ' || role as version, window_size, strftime(window_end, '%Y-%m-%d'),
            roc_auc, roc_auc_lower, roc_auc_upper, labeled_count
        from ml_monitoring.model_performance
        where label_view = 'as_known' and slice_key = 'all' and roc_auc is not null
        qualify row_number() over (partition by version, window_size order by window_end desc) = 1
    """)
    shown = {(row[0], row[1]): row for row in rows("performance", "AUC by labels")}
    assert len(newest) >= 6
    for version, size, end, auc, lower, upper, labels in newest:
        row = shown[version, size]
        assert row[2].startswith(f"to {end}")
        assert row[3:5] == [short(auc), f"{short(lower)} to {short(upper)}"]
        assert row[7] == f"{labels:,}"
    for row in shown.values():
        assert (row[0], row[1]) in {found[:2] for found in newest} or row[3] == "–"

    coverage = warehouse.query("""
        select
            model_version || ' ' || role as version, window_size, label_coverage, prediction_count,
            label_delay_p50_hours, label_delay_p95_hours
        from ml_monitoring.label_coverage
        where label_view = 'as_known' and slice_key = 'all' and label_coverage is not null
        qualify row_number() over (partition by version, window_size order by window_end desc) = 1
    """)
    shown = {(row[0], row[1]): row for row in rows("performance", "Labels: how many, how late")}
    for version, size, share, predictions, median, p95 in coverage:
        expected = [percent(share), f"{predictions:,}", short(median), short(p95)]
        assert shown[version, size][3:] == expected


def test_estimates(rows, warehouse):
    found = warehouse.query("""
        select
            model_version || ' ' || role as version, window_size,
            arg_max(value, window_end) filter (where value is not null),
            count(*) filter (where value is not null and realised_value is not null),
            avg(abs(value - realised_value))
        from ml_monitoring.estimated_performance where metric = 'estimated_roc_auc'
        group by all having count(value) > 0
    """)
    shown = {(row[0], row[1]): row for row in rows("performance", "Estimated beside realised")}
    assert found
    for version, size, value, both, off in found:
        row = shown[version, size]
        assert (row[3], row[6], row[7]) == (short(value), str(both), short(off))


def test_groups_and_calibration(rows, warehouse):
    board = warehouse.query("""
        select
            slice_key || ' = ' || slice_value, model_version || ' ' || role, window_size,
            ece, ece_noise_floor, labeled_count
        from ml_monitoring.fairness_calibration_board where is_current order by board_rank
    """)
    shown = rows("groups", "Groups")
    assert len(shown) == len(board) > 0
    for row, (group, version, _, ece, floor, labels) in zip(shown, board, strict=True):
        assert row[0] == group and row[2] == version
        assert row[3:5] == [short(ece), short(floor)] and row[12] == f"{labels:,}"

    calibration = warehouse.query("""
        select model_version || ' ' || role as version, window_size, ece, calibration_slope
        from ml_monitoring.calibration
        where label_view = 'as_known' and slice_key = 'all' and ece is not null
        qualify row_number() over (partition by version, window_size order by window_end desc) = 1
    """)
    shown = {(row[0], row[1]): row for row in rows("groups", "Calibration error over time")}
    assert calibration
    for version, size, ece, slope in calibration:
        assert (shown[version, size][3], shown[version, size][6]) == (short(ece), short(slope))

    gaps = warehouse.query("""
        select
            slice_key, model_version || ' ' || role as version, window_size,
            replace(metric, '_', ' '), value
        from ml_monitoring.fairness
        where label_view = 'as_known' and value is not null
        qualify row_number() over (
            partition by slice_key, version, window_size, metric order by window_end desc
        ) = 1
    """)
    shown = {(*row[:3], row[4]): row[5] for row in rows("groups", "Gaps between groups over time")}
    assert gaps
    for *key, value in gaps:
        assert shown[tuple(key)] == short(value)


def test_launch(rows, page, warehouse):
    ((decision, summary, end),) = warehouse.query("""
        select decision, summary, window_end from ml_monitoring.launch_decision where is_newest
    """)
    heading = f"{VERSION} in place of v1:"
    criteria = warehouse.query(
        """
        select criterion, slice_key, verdict, live_value, shadow_value, difference, margin
        from ml_monitoring.launch_criteria where window_end = ?
        """,
        end,
    )
    rows("launch", "Releases")
    section = page.locator("section").first
    title = section.locator("h2").text_content()
    assert title.startswith(heading) and title.endswith(decision.replace("_", " "))
    assert summary in section.text_content()
    lines = section.locator("table").first.locator("tbody tr").all()
    cells = [line.locator("td").all_text_contents() for line in lines]
    shown = {row[0].strip(): row for row in cells}
    assert criteria
    for criterion, key, verdict, live, shadow, difference, margin in criteria:
        name = criterion.replace("_", " ") + ("" if key == "all" else f" by {key}")
        row = shown[name]
        assert row[1].endswith(verdict.replace("_", " "))
        assert row[2] == short(live, ",.4g") and row[3] == short(shadow, ",.4g")
        assert row[4] == short(difference) and row[6] == short(margin, ",.4g")


def test_alerts(rows, page, warehouse):
    rows("service", "Alerts on service levels")
    alerts = warehouse.query("""
        select alert_id, alert_name, severity, breached_windows, state
        from ml_monitoring.alerts join (
            select alert_id, max(breached_windows) as breached_windows
            from ml_monitoring.alert_lines group by alert_id
        ) using (alert_id)
    """)
    (path,) = (path for path in [page.url.replace("service.html", "alerts.html")])
    page.goto(path)
    items = {item.get_attribute("data-alert"): item for item in page.locator(".alert").all()}
    assert set(items) == {alert[0] for alert in alerts} and len(alerts) > 3
    for key, name, severity, windows, state in alerts:
        text = items[key].text_content()
        assert name in text and severity in text and f">{windows:,}<" in items[key].inner_html()
        assert (state == "resolved") == ("(not yet)" not in text)
    suspects = warehouse.query("""
        select alert_id, count(*), max_by(evidence, -suspect_rank)
        from ml_monitoring.root_cause_suspects group by all
    """)
    for key, count, evidence in suspects:
        table = items[key].locator("table").first
        assert table.locator("tbody tr").count() == count and evidence in table.text_content()


def test_data(rows, warehouse):
    days = warehouse.query("""
        select strftime(window_start, '%Y-%m-%d'), line_count, duplicate_count, rejected_count,
            reject_rate
        from ml_monitoring.data_quality where window_size = '1d'
    """)
    shown = {row[0]: row for row in rows("data", "By day, in a table")}
    assert len(shown) == len(days) == 31
    for day, lines, duplicates, rejected, rate in days:
        row = shown[day]
        assert row[1] == f"{lines:,}" and row[2] == f"{lines - duplicates - rejected:,}"
        assert row[4] == f"{rejected:,}" and row[6] == percent(rate, 2)
    reasons = warehouse.query("""
        select reject_reason, count(*) from ml_monitoring.rejected_records group by all
    """)
    shown = {row[0]: row[1] for row in rows("data", "Rejected lines, by reason")}
    assert len(shown) == len(reasons) == 2
    for reason, count in reasons:
        (found,) = (value for name, value in shown.items() if reason.replace("_", " ") in name)
        assert found == f"{count:,}"
    inputs = warehouse.query("""
        select input, sum(line_count), sum(accepted_count), sum(rejected_count)
        from ml_monitoring.ingestion_reconciliation group by all
    """)
    shown = {row[0]: row for row in rows("data", "All inputs, of all models")}
    for name, lines, accepted, rejected in inputs:
        row = shown[name.replace("_", " ")]
        assert (row[2], row[3], row[5]) == tuple(f"{n:,}" for n in (lines, accepted, rejected))


def test_drift(rows, page, warehouse):
    newest = warehouse.query("""
        select
            feature, model_version || ' ' || role, psi, ks_statistic, current_null_rate,
            current_count, drift_level, window_end
        from ml_monitoring.feature_drift
        where slice_key = 'all' and window_size = '1d' and comparison = 'baseline'
            and role = 'live'
        qualify row_number() over (partition by feature order by window_end desc) = 1
    """)
    shown = {row[0]: row for row in rows("drift", "Newest window of each feature")}
    assert set(shown) == {row[0] for row in newest}
    for feature, version, psi, ks, missing, count, level, _ in newest:
        row = shown[feature]
        # A chart's figure has three digits; a number under 0.001 is rounded before already.
        assert (row[2] == "–") == (psi is None)
        assert psi is None or float(row[2].replace(",", "")) == pytest.approx(
            psi, rel=5e-3, abs=1e-5
        )
        assert (row[5] == "–") == (ks is None)
        assert ks is None or float(row[5]) == pytest.approx(ks, rel=5e-3, abs=1e-4)
        assert float(row[6].removesuffix(" %")) == pytest.approx(100 * missing, abs=6e-3)
        assert row[14] == f"{count:,}" and row[13] == version
        assert level is None or row[1].endswith(level)

    page.select_option("[name=window]", "7d")
    page.select_option("[name=feature]", "age")
    page.wait_for_timeout(300)
    cells = warehouse.query("""
        select baseline_count, current_count from ml_monitoring.feature_distributions
        where feature = 'age' and slice_key = 'all' and window_size = '7d'
            and comparison = 'baseline' and role = 'live'
        qualify window_end = max(window_end) over () order by bin
    """)
    shown = [(row[1], row[3]) for row in rows("drift", "The cells as a table")]
    assert shown == [(f"{before:,}", f"{now:,}") for before, now in cells] and cells
