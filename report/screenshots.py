"""Pictures of the demo's report for the README: ``python -m report.screenshots``."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

SIZES = {
    "wide": {"width": 1280, "height": 800},
    "low": {"width": 1280, "height": 480},
    "phone": {"width": 390, "height": 800},
}
# What each picture shows: the page, who looks at it, and how.
PICTURES = {
    "overview": ("index.html", "low", "light"),
    "service": ("models/{model}/service.html#from=2013-05-06&to=2013-05-08", "wide", "light"),
    "drift": ("models/{model}/drift.html#feature=wind_speed_mph&window=7d", "wide", "light"),
    "performance": ("models/{model}/performance.html", "wide", "dark"),
    "launch": ("models/{model}/launch.html", "phone", "light"),
}


def main() -> int:
    """Take all pictures; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=Path("report/site"))
    parser.add_argument("--model", default="flight-delay", help="the folder of its pages")
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    index = arguments.site / "index.html"
    if not index.is_file():
        print(f"There is no report at {index}. Run `make report` first.", file=sys.stderr)
        return 2
    arguments.folder.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (path, size, theme) in PICTURES.items():
            context = browser.new_context(
                viewport=SIZES[size], color_scheme=theme, offline=True, device_scale_factor=1
            )
            page = context.new_page()
            page.goto(f"file://{arguments.site.resolve()}/{path.format(model=arguments.model)}")
            page.wait_for_timeout(1000)
            target = arguments.folder / f"{name}.png"
            page.screenshot(path=target)
            print(f"{target}: {target.stat().st_size // 1000} kB")
            context.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
