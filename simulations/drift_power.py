"""How often drift is told where there is none, and where there is; beside Evidently's defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simulations import evidently_rule
from simulations.verdicts import comparisons_of, is_flagged, judge
from simulations.worlds import BY_NAME, FEATURES, Change, Feature, Sample, World, draw

SIZES = (50, 300, 5000)
INDEPENDENT = [World("independent days", n) for n in (50, 100, 300, 5000)]
CORRELATED = [World("days alike", n, days=28, day_effect=0.2, memory=0.5) for n in SIZES]
# How far the days' effects may go before the rule no longer holds.
STRONGLY_CORRELATED = [
    World("days more alike", 300, days=28, day_effect=0.2, memory=0.7),
    World("days more alike", 300, days=56, day_effect=0.2, memory=0.7),
]
WORLDS = [*INDEPENDENT, *CORRELATED, *STRONGLY_CORRELATED]
#: Of each change: what is said of it, the feature, and what is different in the window.
CHANGES = [
    *(
        (f"mean + {shift:g} sd", "normal", Change(shift=shift))
        for shift in (0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
    ),
    *((f"sd x {scale:g}", "normal", Change(scale=scale)) for scale in (1.25, 1.5, 2.0)),
    *(
        (f"a category of 20 %: {20 + 80 * share:.0f} %", "five_equal", Change(category=(0, share)))
        for share in (0.125, 0.25, 0.375)
    ),
    *(
        (f"one more than 200 categories: {share:.0%}", "zipf_200", Change(category=(-1, share)))
        for share in (0.05, 0.1)
    ),
    ("a sixth category: 5%", "five_equal", Change(category=(-1, 0.05))),
    *((f"nulls 0 %: {share:.0%}", "normal", Change(nulls=share)) for share in (0.05, 0.1, 0.3)),
]
Say = Callable[[str], None]


def by_evidently(feature: Feature, sample: Sample) -> bool:
    """Ask Evidently's rule of the same window."""
    return evidently_rule.is_drift(
        sample.ordered, sample.current, is_categorical=feature.is_categorical
    )


def without_drift(
    world: World, repeats: int, seed: int, say: Say, *, with_evidently: bool = True
) -> tuple[pa.Table, np.ndarray]:
    """Compare windows in which nothing has changed.

    Returns
    -------
    table : Table
        Judged rows of both comparisons; ``model_name`` is the number of the repeat.
    flags : ndarray of bool, shape (repeats, n_features)
        Evidently's verdicts, all False if it was not asked.
    """
    rng = np.random.default_rng([seed, WORLDS.index(world)])
    tables = []
    flags = np.zeros((repeats, len(FEATURES)), bool)
    for repeat in range(repeats):
        for place, feature in enumerate(FEATURES):
            sample = draw(feature, world, rng)
            tables.append(comparisons_of(feature, sample, str(repeat)))
            if with_evidently:
                flags[repeat, place] = by_evidently(feature, sample)
        if (repeat + 1) % 50 == 0:
            say(f"{world.name}, n = {world.n}: {repeat + 1} of {repeats} windows without drift")
    return judge(tables), flags


def with_drift(
    quiet: pa.Table,
    world: World,
    changes: list[tuple[str, str, Change]],
    repeats: int,
    seed: int,
    say: Say,
    *,
    with_evidently: bool = True,
) -> list[dict]:
    """Change one feature in windows in which the others stay as they are."""
    rng = np.random.default_rng([seed, 100 + WORLDS.index(world)])
    against_baseline = quiet.filter(pc.equal(quiet["comparison"], "baseline"))
    results = []
    for text, name, change in changes:
        others = against_baseline.filter(pc.not_equal(against_baseline["feature"], name))
        tables = [others]
        feature = replace(BY_NAME[name], name="changed")
        theirs = 0
        for repeat in range(repeats):
            sample = draw(feature, world, rng, change)
            tables.append(comparisons_of(feature, sample, str(repeat)).slice(0, 1))
            theirs += with_evidently and by_evidently(feature, sample)
        table = judge(tables)
        found = table.filter(pc.equal(table["feature"], "changed"))
        if set(found["comparison"].to_pylist()) != {"baseline"} or len(found) != repeats:
            raise AssertionError("one comparison with the baseline was expected of each window")
        results.append(
            {
                "change": text,
                **asdict(world),
                "windows": repeats,
                "ours": int(is_flagged(found).sum()),
                "evidently": int(theirs),
                "mean_psi": float(np.mean(found["psi"].to_numpy())),
            }
        )
        say(f"{text}, n = {world.n}: ours {results[-1]['ours']}, Evidently's {theirs}")
    return results


def false_alarms(table: pa.Table, flags: np.ndarray, world: World) -> list[dict]:
    """Count the flags of a world without drift, by kind of feature and comparison."""
    repeats = len(flags)
    is_categorical = np.array([feature.is_categorical for feature in FEATURES])
    results = []
    for comparison in ("baseline", "previous"):
        part = table.filter(pc.equal(table["comparison"], comparison))
        names = part["feature"].to_numpy(zero_copy_only=False)
        models = part["model_name"].to_numpy(zero_copy_only=False)
        flagged = is_flagged(part)
        known = part["psi"].is_valid().to_numpy(zero_copy_only=False)
        for kind, chosen in (("numerical", ~is_categorical), ("categorical", is_categorical)):
            inside = np.isin(names, [f.name for f, c in zip(FEATURES, chosen, strict=True) if c])
            theirs = flags[:, chosen]
            results.append(
                {
                    **asdict(world),
                    "comparison": comparison,
                    "kind": kind,
                    "features": int(inside.sum()),
                    "with_psi": int((inside & known).sum()),
                    "flagged": int((inside & flagged).sum()),
                    "windows": repeats,
                    "windows_flagged": len(set(models[inside & flagged])),
                    "by_feature": {
                        str(name): int(count)
                        for name, count in zip(
                            *np.unique(names[inside & flagged], return_counts=True), strict=True
                        )
                    },
                    "evidently": int(theirs.sum()) if comparison == "baseline" else None,
                    "evidently_windows": int(theirs.any(axis=1).sum())
                    if comparison == "baseline"
                    else None,
                }
            )
    return results


def simulate(repeats: int, seed: int, say: Say) -> dict:
    """Run all worlds, and all changes in those of independent days."""
    alarms, power = [], []
    for world in WORLDS:
        table, flags = without_drift(world, repeats, seed, say)
        alarms += false_alarms(table, flags, world)
        if world in INDEPENDENT:
            power += with_drift(table, world, CHANGES, repeats, seed, say)
    return {"repeats": repeats, "seed": seed, "false_alarms": alarms, "power": power}
