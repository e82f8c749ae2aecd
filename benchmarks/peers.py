"""Compare with Evidently and NannyML on the same files: ``python -m benchmarks.peers --events N``.

Each tool runs as a process of its own, in an environment of its own, and reads the same Parquet
files. They do not do the same: Evidently compares two sets of rows, NannyML each day, and the
project each day and each seven days, with the baseline and with the days before, for the whole
model and for each slice. So the measure is the time for each row, column and window compared.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

import duckdb

from benchmarks.builds import landing_of, new_database, run_dbt
from benchmarks.generate_events import MODEL
from benchmarks.measure import (
    PROJECT,
    BenchmarkError,
    Process,
    arguments_of,
    require_disk,
    run_part,
    run_process,
    say,
    table,
)

REFERENCE_DAYS = MODEL["baseline"]["days"]
#: What each peer needs of disk, in GiB.
ENVIRONMENTS = {"evidently": 1.5, "nannyml": 3.0}
#: None of them may report its use.
SILENT = {
    "DO_NOT_TRACK": "1",
    "ITERATIVE_DO_NOT_TRACK": "1",
    "NML_DISABLE_USAGE_LOGGING": "1",
}
#: The question, the mart of the project that answers it, and the peers' tasks that do.
QUESTIONS = {
    "drift": ("feature_drift", ["evidently_defaults", "evidently_psi", "nannyml_drift"]),
    "auc": ("model_performance", ["nannyml_auc"]),
}
NAMES = {
    "evidently_defaults": "Evidently, its defaults: one window",
    "evidently_psi": "Evidently, PSI: one window",
    "nannyml_drift": "NannyML, Jensen-Shannon: each day",
    "nannyml_auc": "NannyML: ROC AUC of each day",
}

# Rows of the windows that have a result, by how much of the project's work is counted. The score
# is left out, which the peers are not given.
DRIFT_COUNTS = """
    select
        sum(current_count) filter (
            slice_key = 'all' and window_size = '1d' and comparison = 'baseline'
        ),
        sum(current_count) filter (slice_key = 'all'),
        sum(current_count)
    from ml_monitoring.feature_drift
    where psi is not null and feature_type <> 'prediction'
"""
AUC_COUNTS = """
    select
        sum(labeled_count) filter (
            slice_key = 'all' and window_size = '1d' and label_view = 'latest'
        ),
        sum(labeled_count) filter (slice_key = 'all' and label_view = 'latest'),
        sum(labeled_count)
    from ml_monitoring.model_performance
    where roc_auc is not null
"""
COUNTED = {
    "drift": [
        "each day against the baseline, whole model",
        "all windows and comparisons, whole model",
        "the same with slices",
    ],
    "auc": [
        "each day, whole model, labels of now",
        "all windows, whole model, labels of now",
        "the same with slices and the labels known then",
    ],
}


def measure(arguments: argparse.Namespace) -> dict:
    """Run the project and each peer in turn."""
    landing = landing_of(arguments.folder, arguments.events, "parquet")
    figures: dict = {"events": arguments.events, "runs": {}, "compared": {}, "left_out": []}
    pythons = {}
    for peer in ENVIRONMENTS:
        try:
            pythons[peer] = environment_of(peer, arguments.folder / "venvs")
        except BenchmarkError as error:
            figures["left_out"].append(str(error))
    for question, (_, tasks) in QUESTIONS.items():
        counts, process = run_project(question, landing, arguments.folder / "peers")
        say(f"the project, {question}: {process.wall:.1f} s, {process.peak:.2f} GiB")
        figures["runs"][question] = process
        figures["compared"][question] = counts
        for task in tasks:
            peer = task.split("_")[0]
            if peer not in pythons:
                continue
            process = run_peer(task, pythons[peer], landing)
            say(f"{task}: {process.wall:.1f} s, {process.peak:.2f} GiB")
            if process.exit_code:
                figures["left_out"].append(
                    f"{task} ended with exit code {process.exit_code}; its error is above. "
                    "-9 means that the machine has too little memory for so many events."
                )
                continue
            figures["runs"][task] = process
            figures["compared"][task] = json.loads(process.output.splitlines()[-1])
    return figures


def environment_of(peer: str, folder: Path) -> Path:
    """Return the Python of a peer's environment, made if it is not there as it is pinned."""
    python = folder / peer / "bin" / "python"
    installed = folder / peer / "installed.txt"
    requirements = PROJECT / "benchmarks" / f"requirements-{peer}.txt"
    if installed.exists() and installed.read_text() == requirements.read_text():
        return python
    require_disk(folder, ENVIRONMENTS[peer], f"The environment of {peer}")
    say(f"making the environment of {peer}")
    shutil.rmtree(folder / peer, ignore_errors=True)
    install = [python, "-m", "pip", "install", "--quiet", "-r", requirements]
    for command in ([sys.executable, "-m", "venv", folder / peer], install):
        if run_process(command).exit_code:
            raise BenchmarkError(
                f"The environment of {peer} could not be made; the error is above. "
                f"Python 3.11 and a package index are needed for {requirements.name}."
            )
    shutil.copy(requirements, installed)
    return python


def run_project(question: str, landing: Path, folder: Path) -> tuple[list[int], Process]:
    """Build one mart and all that it needs from nothing; count what was compared."""
    database = new_database(folder)
    mart, _ = QUESTIONS[question]
    process = run_dbt(["run", "--select", f"+{mart}"], database, landing)
    with duckdb.connect(str(database), read_only=True) as connection:
        counts = count_compared(connection, question)
    shutil.rmtree(folder)
    return counts, process


def count_compared(connection: duckdb.DuckDBPyConnection, question: str) -> list[int]:
    """Count rows x columns x windows of the project, from the narrowest view to the widest."""
    query = DRIFT_COUNTS if question == "drift" else AUC_COUNTS
    return [int(count or 0) for count in connection.execute(query).fetchone()]


def run_peer(task: str, python: Path, landing: Path) -> Process:
    """Run one task of a peer."""
    script = PROJECT / "benchmarks" / "peer_tasks.py"
    words = ["--landing", landing, "--reference-days", REFERENCE_DAYS]
    return run_process(
        [python, "-W", "ignore", script, task, *words], environment=SILENT, keep_output=True
    )


def nanoseconds_each(wall: float, compared: int) -> float:
    """Return the time for each row, column and window."""
    return wall * 1e9 / compared if compared else float("inf")


def report(figures: dict) -> str:
    """Write a table for each question."""
    texts = [f"{figures['events']:,} events in Parquet, reference: {REFERENCE_DAYS} days of 30."]
    for question, (mart, tasks) in QUESTIONS.items():
        project = figures["runs"][question]
        counts = figures["compared"][question]
        each = [nanoseconds_each(project["wall"], count) for count in counts]
        rows = [
            [
                f"`{mart}`: {what}",
                f"{project['wall']:.1f} s",
                f"{project['peak']:.2f} GiB",
                f"{count / 1e6:,.2f} M",
                f"{time:,.1f}",
                *[""] * len(each),
            ]
            for what, count, time in zip(COUNTED[question], counts, each, strict=True)
        ]
        for task in tasks:
            if task not in figures["runs"]:
                continue
            run, done = figures["runs"][task], figures["compared"][task]
            compared = done["row_windows"] * done["columns"]
            time = nanoseconds_each(run["wall"], compared)
            rows.append(
                [
                    f"{NAMES[task]} ({done['version']})",
                    f"{run['wall']:.1f} s",
                    f"{run['peak']:.2f} GiB",
                    f"{compared / 1e6:,.2f} M",
                    f"{time:,.1f}",
                    *[f"{time / ours:,.1f}" for ours in each],
                ]
            )
        header = [
            question,
            "wall",
            "peak memory",
            "rows x columns x windows",
            "ns for each",
            "times ours, by day",
            "all windows",
            "with slices",
        ]
        texts.append(table(header, rows))
    return "\n\n".join(texts)


if __name__ == "__main__":
    sys.exit(run_part("peers", arguments_of(__doc__).parse_args(), measure, report))
