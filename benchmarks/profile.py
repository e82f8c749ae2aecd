"""Show where the time of a build goes: ``python -m benchmarks.profile --events N``.

The models of a ``dbt run`` from nothing, SQL against Python, and what dbt takes to start: to read
the project anew, as it does whenever a var has changed, and as it was left by the last run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys

from benchmarks.builds import landing_of, new_database, run_dbt
from benchmarks.measure import arguments_of, run_part, say, table


def measure(arguments: argparse.Namespace) -> dict:
    """Time dbt's start, then a run from nothing."""
    landing = landing_of(arguments.folder, arguments.events)
    folder = arguments.folder / "profile"
    database = new_database(folder)
    starts = {}
    for title, command in {
        "`dbt parse`, from nothing": ["parse"],
        "`dbt parse`, nothing changed": ["parse"],
        "`dbt run` of one row, nothing changed": ["run", "--select", "int_as_of"],
    }.items():
        starts[title] = run_dbt(command, database, landing)
        say(f"{title}: {starts[title].wall:.1f} s")
    run = run_dbt(["run"], new_database(folder), landing)
    say(f"`dbt run`, from nothing: {run.wall:.1f} s")
    manifest = json.loads((folder / "target" / "manifest.json").read_text())
    languages = {
        node["name"]: node["language"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
    }
    shutil.rmtree(folder)
    return {"events": arguments.events, "starts": starts, "run": run, "languages": languages}


def report(figures: dict) -> str:
    """Write the tables of what was measured."""
    models, languages = figures["run"]["models"], figures["languages"]
    total = sum(models.values())
    seconds = {
        language: sum(time for name, time in models.items() if languages[name] == language)
        for language in ("sql", "python")
    }
    slowest = {
        f"`{name}`" + (" (Python)" if languages[name] == "python" else ""): time
        for name, time in sorted(models.items(), key=lambda item: -item[1])[:12]
    }
    sums = {
        "all models in SQL": seconds["sql"],
        "all models in Python": seconds["python"],
    }
    rows = [
        [title, f"{time:.1f}", f"{time / total:.0%}"] for title, time in (slowest | sums).items()
    ]
    starts = [[title, f"{run['wall']:.1f}"] for title, run in figures["starts"].items()]
    return "\n\n".join(
        [
            f"`dbt run` of {figures['events']:,} events from nothing: "
            f"{figures['run']['wall']:.1f} s. Seconds of each model, two at a time:",
            table(["model", "s", "share"], rows),
            table(["dbt's start", "s"], starts),
        ]
    )


if __name__ == "__main__":
    sys.exit(run_part("profile", arguments_of(__doc__).parse_args(), measure, report))
