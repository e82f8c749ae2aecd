"""Size and speed of the report: ``python -m benchmarks.report --models 20 --days 365``.

One model with 50 features is built from generated events: a year, two versions, the second one
first in the shadow, incidents, targets and alert rules. The other models are that one by other
names, put into the published file: the report reads tables, and it is their size that counts. Then
``python -m report`` is run on it, and the pages are opened from disk in a headless Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from datetime import timedelta
from pathlib import Path
from statistics import median

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.builds import Measured, new_database, run_dbt
from benchmarks.generate_events import COUNTRIES, DEVICES, INPUTS, START, chosen
from benchmarks.measure import (
    BenchmarkError,
    arguments_of,
    require_disk,
    run_part,
    run_process,
    say,
    size_of,
    table,
)

NUMERICAL = [f"number_{position:02}" for position in range(35)]
CATEGORICAL = [f"category_{position:02}" for position in range(15)]
MODEL = {
    "name": "model 01",
    "task": "binary_classification",
    "latency_threshold_ms": 100,
    "baseline": {"days": 28},
    "features": [
        *({"name": name, "type": "numerical"} for name in NUMERICAL),
        *({"name": name, "type": "categorical"} for name in CATEGORICAL),
    ],
    "slices": ["country", "device"],
    "protected_attributes": ["device"],
}
SHADOW_DAYS = 14
OPENED = 3
#: Relations in place of the seeds: the columns that matter, a row each.
CONFIG = {
    "deployments": [
        {"version": "v1", "role": "live", "from": "{start}", "to": "{release}"},
        {"version": "v2", "role": "shadow", "from": "{shadow}", "to": "{release}"},
        {"version": "v2", "role": "live", "from": "{release}"},
    ],
    "slo_targets": [
        {"slo_name": "errors", "metric": "error_rate", "window_size": "1h", "objective": "0.05"},
        {"slo_name": "latency", "metric": "latency_p95_ms", "window_size": "6h",
         "objective": "120"},
        {"slo_name": "auc", "metric": "roc_auc", "window_size": "7d", "comparator": ">=",
         "objective": "0.6", "max_age_hours": "400"},
        {"slo_name": "gap", "metric": "equal_opportunity_difference", "slice_key": "device",
         "window_size": "7d", "objective": "0.2", "max_age_hours": "400"},
    ],
    "alert_rules": [
        {"alert_name": "slow", "metric": "latency_p95_ms", "window_size": "1h",
         "threshold": "120"},
        {"alert_name": "errors by country", "metric": "error_rate", "slice_key": "country",
         "window_size": "1d", "threshold": "0.03"},
        {"alert_name": "drift", "metric": "psi", "feature": "*", "comparison": "baseline",
         "window_size": "7d", "threshold": "0.25", "severity": "ticket"},
    ],
}  # fmt: skip
COMMON = {
    "deployments": {"model": MODEL["name"]},
    "slo_targets": {
        "role": "live", "slice_key": "all", "comparator": "<=", "min_requests": "20",
        "max_age_hours": "48", "on_missing": "ignore", "severity": "ticket",
        "runbook": "docs/runbooks/latency.md",
    },
    "alert_rules": {
        "role": "live", "condition_number": "", "comparator": ">", "min_requests": "20",
        "severity": "page", "runbook": "docs/runbooks/latency.md",
    },
}  # fmt: skip


# The database


def write_day(landing: Path, day: int, days: int, count: int) -> None:
    """Write the events of a day, and their labels, as Parquet."""
    rng = np.random.default_rng([11, day])
    start = START + timedelta(days=day)
    is_released = day >= days // 2
    is_incident = day % 60 == 45
    numbers = rng.normal(size=(count, len(NUMERICAL))) * np.arange(1, 36) + 0.3 * day / 30
    numbers[:, 5] *= 3 if is_incident else 1
    numbers[rng.random(numbers.shape) < 0.01] = np.nan
    categories = rng.zipf(1.5, (count, len(CATEGORICAL))) % 100
    country = rng.choice(len(COUNTRIES), count)
    device = rng.choice(len(DEVICES), count, p=[0.4, 0.2, 0.3, 0.1])
    logit = 0.8 * np.nan_to_num(numbers[:, 0]) - 0.5 + 0.1 * device
    score = 1 / (1 + np.exp(-logit))
    ts = np.datetime64(start, "ms") + np.sort(rng.integers(0, 86_400_000, count))
    request_id = pa.array([f"{day}-{row}" for row in range(count)])
    features = {
        name: pa.array(np.round(numbers[:, n], 4), from_pandas=True)
        for n, name in enumerate(NUMERICAL)
    } | {
        name: chosen([f"c{value}" for value in range(100)], categories[:, n])
        for n, name in enumerate(CATEGORICAL)
    }
    attributes = {"country": chosen(COUNTRIES, country), "device": chosen(DEVICES, device)}

    def answers(version: str, role: str) -> pa.Table:
        """Make what a version answers to the requests of the day."""
        share = 0.1 if is_incident else 0.002
        status = np.where(rng.random(count) < share, 503, 200)
        own = np.clip(score + rng.normal(0, 0.05, count), 0, 1)
        latency = rng.lognormal(3.5, 0.5, count) * (3 if is_incident else 1)
        return pa.table({
            "request_id": request_id,
            "ts": pa.array(ts),
            "model": pa.repeat(MODEL["name"], count),
            "model_version": pa.repeat(version, count),
            "role": pa.repeat(role, count),
            "status": pa.array(status),
            "latency_ms": pa.array(np.round(latency, 3)),
            "score": pa.array(own, mask=status >= 400),
            "features": pa.StructArray.from_arrays(list(features.values()), list(features)),
            "attributes": pa.StructArray.from_arrays(list(attributes.values()), list(attributes)),
        })  # fmt: skip

    events = [answers("v2" if is_released else "v1", "live")]
    if 0 < days // 2 - day <= SHADOW_DAYS:
        events.append(answers("v2", "shadow"))
    delay = (rng.exponential(20, count) * 3.6e6).astype("timedelta64[ms]")
    labels = pa.table({
        "request_id": request_id,
        "label": pa.array((rng.random(count) < score).astype(np.int64)),
        "labeled_at": pa.array(ts + delay),
    })  # fmt: skip
    for name, rows in zip(INPUTS, (pa.concat_tables(events), labels), strict=True):
        path = landing / name / f"{start:%Y-%m-%d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, path)


def configure(database: Path, days: int) -> None:
    """Write deployments, targets and rules."""
    release = START + timedelta(days=days // 2)
    moments = {
        "{start}": f"{START:%Y-%m-%d}",
        "{release}": f"{release:%Y-%m-%d}",
        "{shadow}": f"{release - timedelta(days=SHADOW_DAYS):%Y-%m-%d}",
    }
    with duckdb.connect(str(database)) as connection:
        for name, rows in CONFIG.items():
            for row in rows:
                full = {"model_name": MODEL["name"]} if name != "deployments" else {}
                full |= COMMON[name] | row
                columns = ", ".join(f'"{column}"' for column in full)
                values = [moments.get(value, value) for value in full.values()]
                connection.execute(
                    f"insert into own.{name} ({columns}) values ({', '.join('?' * len(values))})",
                    values,
                )


def multiply(published: Path, models: int) -> None:
    """Put the model in again and again by other names, alerts with ids of their own."""
    with duckdb.connect(str(published)) as connection:
        columns = connection.execute("""
            select table_oid, schema_name, table_name, list(column_name)
            from duckdb_columns() inner join duckdb_tables() using (table_oid, schema_name,
                table_name)
            group by all
        """).fetchall()
        for _, schema, name, names in columns:
            new = []
            if "model_name" in names:
                new.append("'model ' || printf('%02d', number) as model_name")
            if "alert_id" in names:
                new.append("substr(md5(alert_id || number), 1, 16) as alert_id")
            if new:
                connection.execute(
                    f"insert into {schema}.{name} select columns(* exclude (number))"
                    f" from (select made.* replace ({', '.join(new)}) from (from {schema}.{name}"
                    f" cross join range(2, {models} + 1) as copies (number)) as made)"
                )


def make_database(folder: Path, arguments: argparse.Namespace) -> tuple[Path, Measured]:
    """Build one model and multiply it; return the published file and what the build took."""
    landing = folder / "landing"
    shutil.rmtree(folder, ignore_errors=True)
    years = arguments.models * arguments.days / 365
    require_disk(folder, 2 + 0.45 * years, f"The report of {arguments.models} models")
    database = new_database(folder / "built")
    configure(database, arguments.days)
    say(f"writing {arguments.days} days of {arguments.events_per_day:,} events")
    for day in range(arguments.days):
        write_day(landing, day, arguments.days, arguments.events_per_day)
    as_of = f"{START + timedelta(days=arguments.days):%Y-%m-%d}"
    build = run_dbt(["run"], database, landing, as_of, {"monitored_models": [MODEL]})
    build.print("build of one model")
    published = database.with_name("warehouse_published.duckdb")
    multiply(published, arguments.models)
    return published, build


# The pages


def measure(arguments: argparse.Namespace) -> dict:
    """Make the database, write the site, open its pages."""
    folder = arguments.folder / "report"
    published = folder / "built" / "warehouse_published.duckdb"
    build = None
    if not (arguments.keep and published.is_file()):
        published, build = make_database(folder, arguments)
    site = folder / "site"
    say(f"writing the site from {size_of(published):.2f} GiB")
    written = run_process(
        [sys.executable, "-m", "report", "--quiet", "--database", published, "--folder", site]
    )
    if written.exit_code:
        raise BenchmarkError("The report was not written; what it says is above.")
    files = [path for path in site.rglob("*") if path.is_file()]
    figures = {
        "models": arguments.models, "days": arguments.days,
        "events_per_day": arguments.events_per_day, "build": build, "database": size_of(published),
        "written": written, "site": size_of(site), "files": len(files),
        "pages": open_pages(site),
    }  # fmt: skip
    if not arguments.keep:
        shutil.rmtree(folder)
    return figures


def open_pages(site: Path) -> dict[str, dict]:
    """Open the largest page of each kind: seconds until its charts are drawn, and its size."""
    from playwright.sync_api import sync_playwright

    largest: dict[str, Path] = {}
    for path in sorted(site.rglob("*.html"), key=lambda path: path.stat().st_size):
        if "runbooks" not in path.parts:
            largest[path.name] = path
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, path in sorted(largest.items()):
            times = [open_page(browser, path) for _ in range(OPENED)]
            lazy = [file.stat().st_size for file in (path.parent / path.stem).rglob("*.js")]
            found[name.removesuffix(".html")] = {
                "seconds": median(times), "worst": max(times),
                "size": path.stat().st_size / 2**20, "largest_file": max(lazy, default=0) / 2**20,
            }  # fmt: skip
        browser.close()
    return found


#: When the last chart was drawn, once none has been for a second: some wait for files of theirs.
DRAWN = """
    () => new Promise((done) => {
        let last = performance.now();
        for (const element of document.querySelectorAll('.canvas, .strip')) {
            const chart = window.echarts && window.echarts.getInstanceByDom(element);
            if (chart) chart.on('finished', () => { last = performance.now(); });
        }
        const wait = () => (performance.now() - last > 1000 ? done(last) : setTimeout(wait, 50));
        wait();
    })
"""


def open_page(browser, path: Path) -> float:
    """Open a page in a new context, nothing cached; return the seconds until it is drawn."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_load_state("load")
    milliseconds = page.evaluate(DRAWN)
    context.close()
    if problems:
        raise BenchmarkError(f"{path} does not work: {problems[0]}")
    return milliseconds / 1000


def report(figures: dict) -> str:
    """Write the tables of what was measured."""
    written = figures["written"]
    whole = table(["", ""], [
        ["published file", f"{figures['database']:.2f} GiB"],
        ["`python -m report`", f"{written['wall']:.1f} s"],
        ["processor time of it", f"{written['cpu']:.1f} s"],
        ["peak memory", f"{written['peak']:.2f} GiB"],
        ["site", f"{figures['site'] * 1024:.0f} MiB, {figures['files']:,} files"],
    ])  # fmt: skip
    pages = table(
        ["page", "open, median", "open, worst", "page", "largest file that it loads"],
        [
            [name, f"{page['seconds']:.2f} s", f"{page['worst']:.2f} s",
             f"{page['size']:.2f} MiB", f"{page['largest_file']:.2f} MiB"]
            for name, page in figures["pages"].items()
        ],
    )  # fmt: skip
    return f"{whole}\n\n{pages}"


def main() -> int:
    """Measure and report; returns the exit code."""
    parser = arguments_of(__doc__)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--events-per-day", type=int, default=2_000, help="of each model")
    parser.add_argument("--keep", action="store_true", help="take the database that is there")
    arguments = parser.parse_args()
    key = f"{arguments.models}_models_{arguments.days}_days_{arguments.events_per_day}"
    return run_part("report", arguments, measure, report, key)


if __name__ == "__main__":
    sys.exit(main())
