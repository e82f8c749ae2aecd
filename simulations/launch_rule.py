"""How often the launch rule ships versions that are as good as the live one, or worse.

A schedule is that of a team: a shadow runs for some weeks, and somebody looks every day. Each
request is drawn with its label, both scores, both latencies and both statuses; what is judged is
what the tables judge, by the same functions.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy.special import expit, logit, ndtri

import launch
from benchmarks.measure import table
from intervals import wilson_interval
from paired import Cells, PairedCounts
from score_bins import FINE_BINS, calibration_bin, score_edges

ALPHA = 0.05
# What is promised, and at what size.
MOST_SHIPPED_AT_THE_MARGIN = 0.05
LEAST_SHIPPED_EQUAL = 0.8
DOCUMENTED_SIZE = 2000
MARGINS = {
    ("labeled_pairs", "all"): 5000.0,
    ("shadow_days", "all"): 14.0,
    ("partner_rate", "all"): 0.95,
    ("roc_auc", "all"): 0.01,
    ("ece", "all"): 0.02,
    ("latency_p95_ms", "all"): 0.2,
    ("error_rate", "all"): 0.005,
    ("equal_opportunity_difference", "group"): 0.05,
}
BASE_RATE = 0.25
LIVE_AUC = 0.75
LIVE_ERRORS = 0.003
GROUPS = 3
# How alike two versions of one model are.
SCORE_CORRELATION = 0.9
LATENCY_CORRELATION = 0.5
EDGES = score_edges(FINE_BINS, calibration_bins=10)
CALIBRATION_BINS = np.asarray(calibration_bin(EDGES, 10))


@dataclass(frozen=True)
class World:
    """A new version, and how days differ.

    Attributes
    ----------
    name : str
    auc_loss, miscalibration, latency_rise, error_rise, unfairness : float
        How much worse the new version is, in the unit of the margins.
    day_effect : float
        Standard deviations between days: of the AUC of the new version in units of its margin, and
        of the logarithms of the latencies of either version in units of theirs.
    requests_a_day : int
    days : int
    """

    name: str
    auc_loss: float = 0.0
    miscalibration: float = 0.0
    latency_rise: float = 0.0
    error_rise: float = 0.0
    unfairness: float = 0.0
    day_effect: float = 0.0
    requests_a_day: int = DOCUMENTED_SIZE
    days: int = 28


AT_THE_MARGIN = {
    "AUC 0.01 lower": {"auc_loss": 0.01},
    "ECE 0.02 higher": {"miscalibration": 0.02},
    "p95 20 % slower": {"latency_rise": 0.2},
    "0.5 points more errors": {"error_rise": 0.005},
    "gap of groups 0.05 wider": {"unfairness": 0.05},
}


def worlds() -> list[World]:
    """Every world of the table in docs/launch_decisions.md."""
    found = []
    for day_effect in (0.0, 0.5):
        base = World("equal", day_effect=day_effect)
        found += [
            replace(base, requests_a_day=1000),
            base,
            replace(base, name="better: AUC 0.02 higher", auc_loss=-0.02),
        ]
        # Fewer requests are the harder test of what must not ship.
        base = replace(base, requests_a_day=1000)
        found += [replace(base, name=name, **worse) for name, worse in AT_THE_MARGIN.items()]
        found += [
            replace(base, name="slow: p95 40 % slower", latency_rise=0.4),
            replace(base, name="unfair: gap 0.15 wider", unfairness=0.15),
            replace(base, name="much worse: AUC 0.05 lower", auc_loss=0.05),
        ]
    return found


@dataclass(frozen=True)
class Requests:
    """The requests of a schedule, by day; A is live. Arrays of shape (n_requests,)."""

    day: np.ndarray
    label: np.ndarray
    group: np.ndarray
    bins: tuple[np.ndarray, np.ndarray]
    scores: tuple[np.ndarray, np.ndarray]
    decisions: tuple[np.ndarray, np.ndarray]
    failed: tuple[np.ndarray, np.ndarray]
    latency_bins: tuple[np.ndarray, np.ndarray]
    is_paired: np.ndarray
    is_labelled: np.ndarray


def draw(world: World, rng: np.random.Generator) -> Requests:
    """Draw the requests of one schedule."""
    of_days = rng.poisson(world.requests_a_day, world.days)
    day = np.repeat(np.arange(world.days), of_days)
    n = len(day)
    label = rng.random(n) < BASE_RATE
    group = rng.integers(GROUPS, size=n)

    # Normal scores of each class, one apart from the other by `distance`: the posterior is known,
    # so that the scores are calibrated.
    effects = rng.normal(0, 0.01 * world.day_effect, world.days)
    auc_b = np.clip(LIVE_AUC - world.auc_loss + effects - effects.mean(), 0.51, 0.99)
    shared = rng.normal(size=n)
    scores = []
    for auc in (np.full(n, LIVE_AUC), auc_b[day]):
        distance = np.sqrt(2) * ndtri(auc)
        own = rng.normal(size=n)
        noise = np.sqrt(SCORE_CORRELATION) * shared + np.sqrt(1 - SCORE_CORRELATION) * own
        latent = distance * label + noise
        scores.append(expit(logit(BASE_RATE) + distance * latent - distance**2 / 2))
    scores[1] = np.clip(scores[1] + world.miscalibration, 0, 1)

    threshold = np.quantile(scores[0], 0.7)
    decisions = [scores[0] >= threshold, scores[1] >= threshold + world.miscalibration]
    if world.unfairness:
        # Positives of the last group whom the new version passes over.
        hits = decisions[1] & label & (group == GROUPS - 1)
        hit_rate = np.mean(decisions[0][label])
        decisions[1] = decisions[1] & ~(hits & (rng.random(n) < world.unfairness / hit_rate))

    upstream = rng.normal(size=n)
    latency_bins, failed = [], []
    both_fail = rng.random(n)
    for rise, errors in (
        (0.0, LIVE_ERRORS),
        (world.latency_rise, LIVE_ERRORS + world.error_rise),
    ):
        own = rng.normal(size=n)
        noise = np.sqrt(LATENCY_CORRELATION) * upstream + np.sqrt(1 - LATENCY_CORRELATION) * own
        effects = rng.normal(0, 0.1 * world.day_effect, world.days)[day]
        log_latency = np.log(50) + 0.6 * noise + np.log1p(rise) + effects
        latency_bins.append(np.ceil(log_latency / np.log(1.04)).astype(int))
        # Half of the live errors are of requests on which both fail.
        failed.append((both_fail < LIVE_ERRORS / 2) | (rng.random(n) < errors - LIVE_ERRORS / 2))
    return Requests(
        day=day,
        label=label,
        group=group,
        bins=tuple(np.searchsorted(EDGES, part) for part in scores),
        scores=tuple(scores),
        decisions=tuple(decisions),
        failed=tuple(failed),
        latency_bins=tuple(latency_bins),
        is_paired=rng.random(n) < 0.99,
        is_labelled=rng.random(n) < 0.95,
    )


def by_day(where: np.ndarray, day: np.ndarray, n_days: int) -> np.ndarray:
    """Count by day."""
    return np.bincount(day[where], minlength=n_days)


def paired_counts(parts, where, day, n_days) -> PairedCounts:
    """Count what holds for A only, B only and both."""
    a, b = (part & where for part in parts)
    return PairedCounts(*(by_day(w, day, n_days) for w in (a & ~b, b & ~a, a & b, where)))


def evidence(requests: Requests, n_days: int) -> launch.Evidence:
    """Gather what is known after so many days."""
    end = np.searchsorted(requests.day, n_days)
    part = Requests(
        **{
            name: tuple(v[:end] for v in value) if isinstance(value, tuple) else value[:end]
            for name, value in vars(requests).items()
        }
    )
    day, paired_, label = part.day, part.is_paired, part.label
    answered = paired_ & ~part.failed[0] & ~part.failed[1]
    labelled = answered & part.is_labelled
    lowest = min(bins.min() for bins in part.latency_bins)
    n_latencies = max(bins.max() for bins in part.latency_bins) - lowest + 1
    latencies = [
        np.bincount(
            day[paired_] * n_latencies + bins[paired_] - lowest, minlength=n_days * n_latencies
        ).reshape(n_days, n_latencies)
        for bins in part.latency_bins
    ]
    scores = [score[labelled] for score in part.scores]
    positives = label[labelled].astype(int)
    groups = [
        paired_counts(part.decisions, labelled & label & (part.group == group), day, n_days)
        for group in range(GROUPS)
    ]
    return launch.Evidence(
        live_count=end,
        failures=paired_counts(part.failed, paired_, day, n_days),
        latency_bins=np.arange(lowest, lowest + n_latencies),
        latencies_a=latencies[0],
        latencies_b=latencies[1],
        hits=paired_counts(
            [decision == label for decision in part.decisions], labelled, day, n_days
        ),
        cells=Cells(
            day[labelled],
            *(bins[labelled] for bins in part.bins),
            1 - positives,
            positives,
            *scores,
        ),
        variance_sums=tuple(score * (1 - score) for score in scores),
        calibration_bins=CALIBRATION_BINS,
        auc_error_bound=0.0,
        groups={
            ("equal_opportunity_difference", "group"): PairedCounts(
                *(
                    np.stack([getattr(group, name) for group in groups])
                    for name in ("only_a", "only_b", "both", "count")
                )
            )
        },
    )


def schedule(world: World, seed: int) -> dict:
    """Look every day; tell on which day it is first shipped, and first held."""
    requests = draw(world, np.random.default_rng(seed))
    least = int(MARGINS["labeled_pairs", "all"])
    found = {"shipped_on": None, "held_on": None}
    for n_days in range(2, world.days + 1):
        known = evidence(requests, n_days)
        verdicts = {}
        for key, margin in MARGINS.items():
            measured = launch.measure(known, *key, least=least, alpha=ALPHA)
            verdicts[key] = launch.verdict(key[0], margin, measured.lower, measured.upper)
        decision = launch.decision(list(verdicts.values()))
        if decision == "ship" and found["shipped_on"] is None:
            found["shipped_on"] = n_days
        if decision == "hold" and found["held_on"] is None:
            found["held_on"] = n_days
    return found


def run(task: tuple[World, int]) -> dict:
    """Run a schedule in a process of its own."""
    return schedule(*task)


def simulate(repeats: int, seed: int, say: Callable[[str], None]) -> dict:
    """Run each world so many times, in two processes.

    Parameters
    ----------
    repeats : int
        Schedules of each world.
    seed : int
    say : callable
        Told of each world that is done.

    Returns
    -------
    dict
        ``worlds``: a row for each, with how many schedules shipped, and held, at some look.
    """
    rows = []
    with ProcessPoolExecutor(2) as pool:
        for number, world in enumerate(worlds()):
            tasks = [(world, seed + 1_000_000 * number + repeat) for repeat in range(repeats)]
            found = list(pool.map(run, tasks, chunksize=20))
            shipped = [row["shipped_on"] for row in found if row["shipped_on"]]
            rows.append(
                asdict(world)
                | {
                    "repeats": repeats,
                    "shipped": len(shipped),
                    "held": sum(row["held_on"] is not None for row in found),
                    "median_days": float(np.median(shipped)) if shipped else None,
                }
            )
            say(f"{world.name}, {world.requests_a_day} a day: {len(shipped)} of {repeats} shipped")
    return {"worlds": rows}


def share(count: int, total: int) -> str:
    """Write a share with its Wilson interval, in percent."""
    lower, upper = (100 * float(limit) for limit in wilson_interval(count, total))
    return f"{100 * count / total:.1f} ({lower:.1f} to {upper:.1f})"


def report(figures: dict) -> str:
    """Write the table of docs/launch_decisions.md."""
    return table(
        ["new version", "requests a day", "days differ", "shipped (95 %)", "held", "day shipped"],
        [
            [
                row["name"],
                f"{row['requests_a_day']:,}",
                "yes" if row["day_effect"] else "no",
                share(row["shipped"], row["repeats"]),
                f"{row['held'] / row['repeats']:.1%}",
                "" if row["median_days"] is None else f"{row['median_days']:.0f}",
            ]
            for row in figures["worlds"]
        ],
    )


def failures(figures: dict) -> list[str]:
    """Say where the rule does not keep what it promises."""
    found = []
    for row in figures["worlds"]:
        rate = row["shipped"] / row["repeats"]
        if row["name"] in AT_THE_MARGIN and rate > MOST_SHIPPED_AT_THE_MARGIN:
            found.append(f"ships in {rate:.1%} of schedules: {row['name']}")
        is_documented = row["name"] == "equal" and row["requests_a_day"] == DOCUMENTED_SIZE
        if is_documented and rate < LEAST_SHIPPED_EQUAL:
            found.append(f"an equal version ships in {rate:.1%} of schedules only")
    return found
