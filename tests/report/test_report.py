"""The report in a real browser, from disk, with the network off."""

import json
import random
import subprocess
import sys
from datetime import datetime, timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.integration.warehouse import (
    DEPLOYMENT,
    MARGIN,
    MODEL,
    PROJECT,
    RULE,
    TARGET,
    Warehouse,
    event,
    label,
)

START, END = datetime(2024, 1, 1), datetime(2024, 2, 1)
#: What comes from outside, and must show as text.
SCRIPT = "<script>window.hacked = 1</script>"
IMAGE = "\"'><img src=x onerror='window.hacked=2'>"
RIGHT_TO_LEFT = "\u202eشركة\u202c"
LONG = "x" * 10_000
HOSTILE = [SCRIPT, IMAGE, RIGHT_TO_LEFT, LONG]
VERSION = f"v2 {SCRIPT}"
VARS = {
    "monitored_models": [MODEL | {"protected_attributes": ["country"]}],
    "as_of": f"{END:%F}",
    "min_samples": 20,
}


def write_traffic(warehouse: Warehouse) -> None:
    rng = random.Random(7)
    events, labels = [], []
    for number in range(31 * 80):
        ts = START + timedelta(days=number // 80, seconds=rng.randrange(86400))
        is_after = ts >= datetime(2024, 1, 20)
        truth = int(rng.random() < 0.4)
        common = {
            "ts": f"{ts.isoformat()}Z",
            "features": {
                "age": rng.randint(18, 80) + 40 * (ts.day in (26, 27)),
                "plan": rng.choice(["basic", *HOSTILE]),
                "is_new": rng.random() < 0.5,
            },
            "attributes": {"country": rng.choice(["de", SCRIPT])},
        }
        latency = rng.lognormvariate(3, 0.5) * (20 if ts.day == 15 else 1)
        score = min(max(0.3 + 0.3 * truth + rng.gauss(0, 0.2), 0), 1)
        version = VERSION if is_after else "v1"
        status = 500 if rng.random() < (0.5 if ts.day == 22 else 0.02) else 200
        live = {"model_version": version, "latency_ms": latency, "score": score, "status": status}
        events.append(event(f"r{number}", **common, **live))
        if datetime(2024, 1, 8) <= ts < datetime(2024, 1, 20):
            shadow = {"model_version": VERSION, "role": "shadow", "latency_ms": latency * 1.1}
            shadow["score"] = min(max(score + rng.gauss(0, 0.05), 0), 1)
            events.append(event(f"r{number}", **common, **shadow))
        at = f"{(ts + timedelta(hours=5)).isoformat()}Z"
        labels.append(label(f"r{number}", label=truth, labeled_at=at))
    warehouse.write("inference_events/a.jsonl.gz", [*events, "no json", {"request_id": SCRIPT}])
    warehouse.write("labels/a.jsonl.gz", labels)


def write_report(warehouse: Warehouse, folder) -> None:
    subprocess.run(
        [sys.executable, "-m", "report", "--quiet", "--database", str(warehouse.database),
         "--folder", str(folder)],
        cwd=PROJECT, check=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory) -> Warehouse:
    warehouse = Warehouse(tmp_path_factory.mktemp("report"), VARS)
    warehouse.own("slo_targets", TARGET, [
        {"max_age_hours": "400", "severity": "ticket"},
        {"slo_name": SCRIPT, "slice_key": "plan", "window_size": "1d", "objective": "0",
         "max_age_hours": "48", "severity": "ticket"},
    ])  # fmt: skip
    warehouse.own("alert_rules", RULE, [
        {"alert_name": "bursts", "threshold": "0.2"},
        {"alert_name": IMAGE, "slice_key": "plan", "window_size": "6h", "threshold": "0.3",
         "severity": "ticket"},
    ])  # fmt: skip
    warehouse.own("deployments", DEPLOYMENT, [
        {"to": "2024-01-20"},
        {"version": VERSION, "role": "shadow", "from": "2024-01-08", "to": "2024-01-20"},
        {"version": VERSION, "from": "2024-01-20"},
    ])  # fmt: skip
    warehouse.own("launch_margins", MARGIN, [])
    write_traffic(warehouse)
    build = warehouse.build()
    assert "Done." in build.end, build.end
    return warehouse


@pytest.fixture(scope="module")
def site(warehouse, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "site"
    write_report(warehouse, folder)
    return folder


@pytest.fixture
def page(browser):
    """A page that fails on any error and on any request to elsewhere."""
    context = browser.new_context(offline=True, bypass_csp=False)
    page = context.new_page()
    page.problems = []
    page.on("console", lambda m: page.problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith(("file://", "data:"))
            else page.problems.append(request.url)
        ),
    )
    yield page
    assert page.problems == []
    context.close()


def pages_of(site):
    return sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))


def open_page(page, site, path):
    page.goto(f"file://{site}/{path}")
    page.wait_for_load_state("load")
    page.wait_for_timeout(300)


def test_every_page_opens_from_disk_with_marks_in_its_charts(page, site):
    paths = pages_of(site)
    assert "index.html" in paths and any(path.endswith("service.html") for path in paths)
    for path in paths:
        open_page(page, site, path)
        assert page.problems == [], path
        for chart in page.locator(".strip, .canvas").all():
            marks = chart.locator("svg path, canvas").count()
            assert marks > 3 or chart.locator("canvas").count(), (path, chart.get_attribute("id"))
            assert chart.get_attribute("aria-label"), path
        # Nothing that came from outside has run.
        assert page.evaluate("window.hacked") is None, path
        assert page.locator("main script, main img").count() == 0, path


def test_hostile_names_show_as_text(page, site):
    text = ""
    for path in pages_of(site):
        open_page(page, site, path)
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        text += page.inner_text("main")
        width = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert width <= 0, path
    for name in (SCRIPT, IMAGE, VERSION):
        assert name in text, name


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_are_for_everybody(browser, site, theme):
    """No serious finding of axe-core, in either theme, at the width of a phone."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, color_scheme=theme, bypass_csp=True, offline=True
    )
    page = context.new_page()
    serious = {}
    for path in pages_of(site):
        open_page(page, site, path)
        for found in Axe().run(page).response["violations"]:
            if found["impact"] in ("serious", "critical"):
                nodes = [node["html"][:120] for node in found["nodes"]][:3]
                serious[path, found["id"]] = nodes
    assert serious == {}
    context.close()


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


def test_a_view_can_be_linked_to(page, site):
    (path,) = (path for path in pages_of(site) if path.endswith("/service.html"))
    open_page(page, site, f"{path}#from=2024-01-15&to=2024-01-16&version=v1+live")
    expect(page.locator("#grain")).to_contain_text("by minute")
    assert page.input_value("[name=version]") == "v1 live"
    page.fill("[name=to]", "2024-01-30")
    expect(page.locator("#grain")).to_contain_text("by hour")
    assert "to=2024-01-30" in page.url
    page.click("[type=reset]")
    expect(page.locator("#grain")).to_contain_text("2024-01-01 to 2024-02-01")


def test_the_theme_is_chosen_and_kept(page, site):
    open_page(page, site, "index.html")
    before = page.evaluate("document.documentElement.dataset.theme")
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") != before


def test_links_lead_somewhere(page, site):
    for path in pages_of(site):
        open_page(page, site, path)
        for link in page.locator("a[href]").all():
            target = link.get_attribute("href").split("#")[0]
            if target:
                assert ((site / path).parent / target).exists(), (path, target)


def test_an_empty_database_says_what_to_do(page, tmp_path):
    empty = Warehouse(tmp_path, VARS)
    build = empty.build()
    assert build.exit_code == 0, build.end
    write_report(empty, tmp_path / "site")
    open_page(page, tmp_path / "site", "index.html")
    assert "make demo" in page.inner_text("main")


def test_without_a_database_the_reason_is_told(tmp_path):
    found = subprocess.run(
        [sys.executable, "-m", "report", "--database", str(tmp_path / "none.duckdb")],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 2
    assert "make build" in found.stderr
