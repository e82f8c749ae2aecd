import shutil

import pytest
from playwright.sync_api import Error, sync_playwright

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
