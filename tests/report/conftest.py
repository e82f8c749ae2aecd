import shutil

import pytest
from playwright.sync_api import Error, sync_playwright

from tests.integration.warehouse import DEPLOYMENT, MARGIN, RULE, TARGET, Warehouse
from tests.report.project import IMAGE, PHONE, SCRIPT, VARS, VERSION, write_report, write_traffic

# The system's; without one that of playwright, which `make test-report` installs.
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        except Error as error:
            pytest.fail(
                "No Chromium starts: `apt-get install chromium`, or `.venv/bin/playwright install"
                f" chromium`. {error}"
            )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def site(warehouse, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "site"
    write_report(warehouse, folder)
    return folder


@pytest.fixture
def page(browser):
    """A phone that fails on any error and on any request to elsewhere."""
    context = browser.new_context(viewport=PHONE, offline=True, bypass_csp=False)
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
