"""Simulate what verdicts are worth: ``python -m simulations drift`` or ``... launch``.

Drift: how often it is told where there is none, and where there is. Launch: how often the rule
ships versions that are equal to the live one, better, or worse.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks.measure import machine, say, table
from simulations import drift_power, launch_rule
from simulations.launch_rule import share

MOST_FLAGGED = 0.05


def report(figures: dict) -> str:
    """Write the tables of docs/statistics.md."""
    alarms = [
        [
            f"{row['name']}, n = {row['n']}, baseline {row['n'] * row['days']:,}",
            row["kind"],
            f"{row['with_psi'] / row['features']:.0%}",
            share(row["flagged"], row["features"]),
            f"{row['windows_flagged'] / row['windows']:.0%}",
            share(row["evidently"], row["features"]),
            f"{row['evidently_windows'] / row['windows']:.0%}",
        ]
        for row in figures["false_alarms"]
        if row["comparison"] == "baseline"
    ]
    before = [
        [
            f"{row['name']}, n = {row['n']}, baseline {row['n'] * row['days']:,}",
            row["kind"],
            share(row["flagged"], row["features"]),
        ]
        for row in figures["false_alarms"]
        if row["comparison"] == "previous"
    ]
    sizes = sorted({row["n"] for row in figures["power"]})
    by_change: dict[str, dict[int, dict]] = {}
    for row in figures["power"]:
        by_change.setdefault(row["change"], {})[row["n"]] = row
    power = [
        [
            change,
            *[f"{rows[n]['ours'] / rows[n]['windows']:.0%}" for n in sizes],
            *[f"{rows[n]['evidently'] / rows[n]['windows']:.0%}" for n in sizes],
        ]
        for change, rows in by_change.items()
    ]
    sides = [f"{side}, n = {n}" for side in ("ours", "Evidently") for n in sizes]
    return "\n\n".join(
        [
            "Nothing has changed: % of features flagged, against the baseline.",
            table(
                [
                    "days, predictions",
                    "features",
                    "with a PSI",
                    "ours (95 % interval)",
                    "windows with a flag",
                    "Evidently's defaults",
                    "windows with a flag",
                ],
                alarms,
            ),
            "Nothing has changed: % of features flagged, against the day before.",
            table(["days, predictions", "features", "ours (95 % interval)"], before),
            "One feature has changed, 29 have not: windows in which the one is flagged.",
            table(["change", *sides], power),
        ]
    )


def main() -> int:
    """Simulate, save and report; returns 1 if more errs than may."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("drift", "launch"), nargs="?", default="drift")
    parser.add_argument("--repeats", type=int, help="200 for drift, 2000 for launch")
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--folder", type=Path, default=Path("data/simulations"))
    parser.add_argument("--report", action="store_true", help="show the tables of the last run")
    arguments = parser.parse_args()
    is_drift = arguments.what == "drift"
    path = arguments.folder / ("drift_power.json" if is_drift else "launch_rule.json")
    write = report if is_drift else launch_rule.report
    if arguments.report:
        print(write(json.loads(path.read_text())))
        return 0
    started = time.perf_counter()
    run = drift_power.simulate if is_drift else launch_rule.simulate
    repeats = arguments.repeats or (200 if is_drift else 2000)
    figures = {"machine": machine(), **run(repeats, arguments.seed, say)}
    figures["seconds"] = round(time.perf_counter() - started)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\n{write(figures)}\n\n{figures['seconds']} s; figures in {path}")
    failed = drift_failures(figures) if is_drift else launch_rule.failures(figures)
    for cell in failed:
        print(cell, file=sys.stderr)
    return bool(failed)


def drift_failures(figures: dict) -> list[str]:
    """Say where too many features are flagged without drift."""
    # Where the rule is known not to hold, no figure is an error: see docs/statistics.md.
    hard = {world.name for world in drift_power.STRONGLY_CORRELATED}
    return [
        f"more than {MOST_FLAGGED:.0%} flagged without drift: {row['name']}, n = {row['n']}, "
        f"{row['kind']}, {row['comparison']}"
        for row in figures["false_alarms"]
        if row["flagged"] > MOST_FLAGGED * row["features"] and row["name"] not in hard
    ]


if __name__ == "__main__":
    sys.exit(main())
