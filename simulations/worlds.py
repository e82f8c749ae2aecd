"""Features to watch: what they look like, with and without drift.

Each is a function of a latent standard normal, so that a shift, a change of scale or the effect of
a day is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import special, stats

# Days from the end of the baseline to the window.
GAP = 10


@dataclass(frozen=True)
class Feature:
    """A feature of a model.

    Attributes
    ----------
    name : str
    shape : callable
        From latent standard normals to values; to codes of categories.
    is_categorical : bool
    null_rate : float
    """

    name: str
    shape: Callable[[np.ndarray], np.ndarray]
    is_categorical: bool = False
    null_rate: float = 0.0


@dataclass(frozen=True)
class Change:
    """What is different in the window: nothing, by default.

    Attributes
    ----------
    shift : float
        Of the latent normal, in its standard deviations.
    scale : float
    nulls : float
        Share of values that are missing beyond the usual.
    category : tuple of int and float, or None
        A category and the share of requests that go over to it.
    """

    shift: float = 0.0
    scale: float = 1.0
    nulls: float = 0.0
    category: tuple[int, float] | None = None


@dataclass(frozen=True)
class World:
    """How much traffic there is, and how its days differ.

    Attributes
    ----------
    name : str
    n : int
        Predictions in a window of one day.
    days : int
        Of the baseline.
    day_effect : float
        Standard deviation of the effect of a day, in that of the latent normal.
    memory : float
        Correlation of the effects of two days that follow each other.
    """

    name: str
    n: int
    days: int = 14
    day_effect: float = 0.0
    memory: float = 0.7


@dataclass(frozen=True)
class Sample:
    """Values of one feature, NaN where missing.

    Attributes
    ----------
    baseline : ndarray of float, shape (days, n)
    previous, current : ndarray of float, shape (n,)
    """

    baseline: np.ndarray
    previous: np.ndarray
    current: np.ndarray
    ordered: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        values = self.baseline[~np.isnan(self.baseline)]
        object.__setattr__(self, "ordered", np.sort(values))


def categories(shares: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Cut the latent normal into categories of the given shares."""
    cuts = special.ndtri(np.cumsum(shares)[:-1] / np.sum(shares))
    return lambda z: np.searchsorted(cuts, z).astype(float)


def discrete(distribution: stats.rv_discrete) -> Callable[[np.ndarray], np.ndarray]:
    """Give the latent normal a discrete distribution."""
    values = np.arange(distribution.ppf(1e-12), distribution.ppf(1 - 1e-12) + 1)
    cuts = special.ndtri(distribution.cdf(values[:-1]))
    return lambda z: values[np.searchsorted(cuts, z)]


def zipf(n: int, power: float) -> np.ndarray:
    """Shares of so many categories."""
    return np.arange(1.0, n + 1) ** -power


def above(z: np.ndarray, share: float, scale: float = 1.0) -> np.ndarray:
    """Only the largest values are not 0."""
    return np.maximum(0.0, np.expm1(scale * (z - special.ndtri(1 - share))))


NUMERICAL = [
    Feature("normal", lambda z: z),
    Feature("normal_far_from_0", lambda z: 1e9 + 5 * z),
    Feature("normal_tiny", lambda z: 1e-9 * z),
    Feature("normal_2_percent_null", lambda z: z, null_rate=0.02),
    Feature("normal_30_percent_null", lambda z: z, null_rate=0.3),
    Feature("uniform", special.ndtr),
    Feature("arcsine", lambda z: np.sin(np.pi / 2 * special.ndtr(z)) ** 2),
    Feature("two_humps", lambda z: z + 4 * np.sign(z)),
    Feature("exponential", lambda z: -special.log_ndtr(-z)),
    Feature("lognormal", np.exp),
    Feature("lognormal_wide", lambda z: np.exp(3 * z)),
    Feature("pareto", lambda z: np.exp(-special.log_ndtr(-z) / 1.2)),
    Feature("cauchy", lambda z: np.tan(np.pi * (special.ndtr(z) - 0.5))),
    Feature("cubed", lambda z: z**3),
    Feature("half_zero", lambda z: above(z, 0.5)),
    Feature("90_percent_zero", lambda z: above(z, 0.1, 2.0)),
    Feature("99_percent_zero", lambda z: above(z, 0.01, 3.0)),
    Feature("poisson_0.1", discrete(stats.poisson(0.1))),
    Feature("poisson_3", discrete(stats.poisson(3))),
    Feature("poisson_20000", discrete(stats.poisson(20_000))),
    Feature("geometric", discrete(stats.geom(0.05))),
    Feature("flag_3_percent", discrete(stats.bernoulli(0.03))),
    Feature("rounded", lambda z: np.round(z, 1)),
    Feature("rounded_lognormal", lambda z: np.round(10 * np.exp(2 * z))),
    Feature("capped", lambda z: np.clip(z, -1, 1)),
]
CATEGORICAL = [
    Feature("zipf_200", categories(zipf(200, 1.0)), True),
    Feature("zipf_200_steep", categories(zipf(200, 1.5)), True),
    Feature("zipf_1000", categories(zipf(1000, 1.0)), True),
    Feature("five_equal", categories(np.ones(5)), True),
    Feature("rare_of_two", categories(np.array([0.97, 0.03])), True),
]
FEATURES = [*NUMERICAL, *CATEGORICAL]
BY_NAME = {feature.name: feature for feature in FEATURES}


def draw(
    feature: Feature, world: World, rng: np.random.Generator, change: Change = Change()
) -> Sample:
    """Draw the baseline of a feature, the day before the window, and the window."""
    effects = day_effects(world, rng)[:, None]
    z = rng.standard_normal((world.days + 2, world.n)) * world_scale(world) + effects
    z[-1] = change.scale * z[-1] + change.shift
    values = feature.shape(z)
    if change.category:
        category, share = change.category
        values[-1][rng.random(world.n) < share] = category
    if feature.null_rate:
        values[rng.random(values.shape) < feature.null_rate] = np.nan
    if change.nulls:
        values[-1][rng.random(world.n) < change.nulls] = np.nan
    return Sample(values[:-2], values[-2], values[-1])


def world_scale(world: World) -> float:
    """Leave so much to the requests of a day that all days together have variance 1."""
    return float(np.sqrt(1 - world.day_effect**2))


def day_effects(world: World, rng: np.random.Generator) -> np.ndarray:
    """Draw the effect of each day of the baseline, of the day before the window, and of its own."""
    n_days = world.days + GAP
    effects = rng.standard_normal(n_days)
    for day in range(1, n_days):
        fresh = np.sqrt(1 - world.memory**2) * effects[day]
        effects[day] = world.memory * effects[day - 1] + fresh
    return world.day_effect * np.concatenate([effects[: world.days], effects[-2:]])
