"""Measure processes, and keep what they took: what all parts of the benchmark share."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PROJECT = Path(__file__).parents[1]
GIB = 2**30


class BenchmarkError(Exception):
    """Why a part cannot be measured, and what to do about it."""


# Processes


@dataclass
class Process:
    """What one command took.

    Attributes
    ----------
    exit_code : int
    wall : float
        Seconds from start to end.
    peak : float
        GiB of memory at most, as the operating system counts it.
    output : str
        What it printed, where that was kept.
    cpu : float
        Seconds of processor time: what the wall time is about without a load of others.
    """

    exit_code: int
    wall: float
    peak: float
    output: str = ""
    cpu: float = 0.0


def run_process(
    command: list, *, environment: dict[str, str] | None = None, keep_output: bool = False
) -> Process:
    """Run a command to its end, as a process of its own."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=PROJECT,
        env=os.environ | (environment or {}),
        stdout=subprocess.PIPE if keep_output else None,
        text=True,
    )
    output = process.stdout.read() if keep_output else ""
    # The usage of this child alone: getrusage would give the most of all children.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    cpu = usage.ru_utime + usage.ru_stime
    return Process(process.returncode, wall, usage.ru_maxrss * 1024 / GIB, output, cpu)


def median_run(runs: list) -> Process:
    """Return the run of the median wall time; of an even number the slower of the two."""
    return sorted(runs, key=lambda run: run.wall)[len(runs) // 2]


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"  {text}", flush=True)


def require_disk(folder: Path, needed: float, purpose: str) -> None:
    """Stop where fewer than ``needed`` GiB are free."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free / GIB
    if free < needed:
        raise BenchmarkError(
            f"{purpose} needs some {needed:.1f} GiB of disk, and {folder} has {free:.1f} GiB free. "
            "Make room, take fewer events, or name another --folder."
        )


def size_of(path: Path) -> float:
    """GiB of a file, or of all files below a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / GIB


# The machine


def machine() -> dict[str, str]:
    """Describe what the figures are measured on."""
    models = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=PROJECT, capture_output=True, text=True
    ).stdout.strip()
    return {
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": commit or "unknown",
        "processor": f"{os.cpu_count()} cores, {models[0] if models else platform.processor()}",
        "memory": f"{memory:.0f} GiB",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("duckdb", "dbt-core", "dbt-duckdb")},
    }


# Results


def table(header: list[str], rows: Iterable[Iterable]) -> str:
    """Write a Markdown table; numbers are to the right."""
    rows = [[cell if isinstance(cell, str) else f"{cell:,}" for cell in row] for row in rows]
    marks = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, marks, *rows))


def save(part: str, key: str, figures: dict, folder: Path) -> None:
    """Put the figures of a part into results.json, beside those of other parts and sizes."""
    path = folder / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    results.setdefault(part, {})[key] = figures
    path.write_text(json.dumps(results, indent=2) + "\n")


def arguments_of(description: str) -> argparse.ArgumentParser:
    """Make the parser of the arguments that all parts have."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path("data/benchmark"))
    return parser


def run_part(
    part: str,
    arguments: argparse.Namespace,
    measure: Callable[[argparse.Namespace], dict],
    report: Callable[[dict], str],
    key: str | None = None,
) -> int:
    """Measure a part, save its figures and print its report; returns the exit code."""
    arguments.folder = arguments.folder.resolve()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    facts = machine()
    print(f"{part}: " + ", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
    try:
        figures = {"machine": facts, **measure(arguments)}
    except BenchmarkError as error:
        print(f"{part} was left out: {error}", file=sys.stderr, flush=True)
        return 1
    # Through JSON, so that the report is of what was saved.
    figures = json.loads(json.dumps(figures, default=asdict))
    save(part, key or str(arguments.events), figures, arguments.folder)
    print(f"\n{report(figures)}\n", flush=True)
    for reason in figures.get("left_out", []):
        print(f"left out: {reason}", file=sys.stderr, flush=True)
    return bool(figures.get("left_out"))
