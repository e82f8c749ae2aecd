"""The report in a real browser, from disk, with the network off."""

import subprocess
import sys

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.integration.warehouse import PROJECT, Warehouse
from tests.report.project import (
    IMAGE,
    PHONE,
    SCRIPT,
    VARS,
    VERSION,
    open_page,
    pages_of,
    write_report,
)


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
    context = browser.new_context(viewport=PHONE, color_scheme=theme, bypass_csp=True, offline=True)
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


def test_what_the_address_does_not_name_is_as_usual(page, site):
    path = "models/churn/performance.html"
    open_page(page, site, f"{path}#window=1d&version=v1+live")
    assert page.input_value("[name=window]") == "1d"
    page.select_option("[name=window]", index=0)
    assert page.url.endswith("#version=v1+live")
    open_page(page, site, f"{path}#window=3d&version=gone")
    assert page.input_value("[name=window]") == "7d"
    assert page.input_value("[name=version]") == ""


def test_skipping_to_the_content_keeps_the_view(page, site):
    open_page(page, site, "models/churn/performance.html#window=1d")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.url.endswith("#window=1d")
    assert page.evaluate("document.activeElement.id") == "main"


def test_lone_points_are_seen(page, site):
    """In a minute with silent ones around it there is no line, only a sign."""
    open_page(page, site, "models/churn/service.html#from=2024-01-03&to=2024-01-03")
    expect(page.locator("#grain")).to_contain_text("by minute")
    assert page.locator("#rate svg path[fill='#0072b2']").count() > 40


def test_the_theme_is_chosen_and_kept(page, site):
    open_page(page, site, "models/churn/service.html")
    before = page.evaluate("document.documentElement.dataset.theme")
    ink = {"light": "#1a1a1a", "dark": "#e6e6e6"}
    axis = page.locator("#latency text").last
    assert axis.get_attribute("fill") == ink[before]
    page.click("#theme")
    after = page.evaluate("document.documentElement.dataset.theme")
    assert after != before
    assert page.locator("#latency text").last.get_attribute("fill") == ink[after]
    open_page(page, site, "models/churn/drift.html")
    assert page.evaluate("document.documentElement.dataset.theme") == after


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
