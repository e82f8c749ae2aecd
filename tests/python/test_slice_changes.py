"""Changes of slices against the rest, and late labels: formulas one by one, and simulations."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

import label_views
import slice_changes
from drift import benjamini_hochberg
from intervals import wilson_interval
from tests import slice_oracle as oracle

# --- The formulas, one slice at a time -----------------------------------------------------------


def test_rates_are_compared_as_by_hand():
    rng = np.random.default_rng(1)
    reference = [[rng.random(n) < p for n, p in ((40, 0.8), (90, 0.6), (70, 0.9))] for _ in "12345"]
    window = [rng.random(n) < p for n, p in ((60, 0.5), (80, 0.6), (50, 0.9))]
    k0 = np.array([[part.sum() for part in day] for day in reference])
    n0 = np.array([[len(part) for part in day] for day in reference])
    k1 = np.array([[part.sum() for part in window]])
    n1 = np.array([[len(part) for part in window]])
    found = slice_changes.compare(
        slice_changes.rate_estimates(k1, n1),
        slice_changes.rate_estimates(k0.sum(0), n0.sum(0)),
        slice_changes.mean_influence(k0, n0),
        len(reference),
    )
    for own in range(3):
        others = [s for s in range(3) if s != own]
        own_days = [day[own] for day in reference]
        rest_days = [np.concatenate([day[s] for s in others]) for day in reference]
        own_all, rest_all = np.concatenate(own_days), np.concatenate(rest_days)
        gaps = [
            sum(a - own_all.mean()) / len(own_all) - sum(b - rest_all.mean()) / len(rest_all)
            for a, b in zip(own_days, rest_days, strict=True)
        ]
        expected = oracle.comparison(
            [
                oracle.of_rate(part)
                for part in (window[own], np.concatenate([window[s] for s in others]))
            ],
            [oracle.of_rate(part) for part in (own_all, rest_all)],
            gaps,
            len(reference),
        )
        for name, value in expected.items():
            assert found[name][0, own] == pytest.approx(value, rel=1e-12), name


def test_means_are_compared_as_by_hand():
    rng = np.random.default_rng(2)
    reference = [[rng.random(n) ** 2 for n in (30, 50)] for _ in range(6)]
    window = [rng.random(n) ** 3 for n in (40, 60)]
    sums = [np.array([[part.sum() for part in day] for day in reference])]
    sums += [np.array([[(part**2).sum() for part in day] for day in reference])]
    count = np.array([[len(part) for part in day] for day in reference])
    found = slice_changes.compare(
        slice_changes.mean_estimates(
            np.array([part.sum() for part in window]),
            np.array([(part**2).sum() for part in window]),
            np.array([len(part) for part in window]),
        ),
        slice_changes.mean_estimates(sums[0].sum(0), sums[1].sum(0), count.sum(0)),
        slice_changes.mean_influence(sums[0], count),
        6,
    )
    whole = [np.concatenate([day[s] for day in reference]) for s in (0, 1)]
    gaps = [
        sum(a - whole[0].mean()) / len(whole[0]) - sum(b - whole[1].mean()) / len(whole[1])
        for a, b in reference
    ]
    expected = oracle.comparison(
        [oracle.of_members(part) for part in window],
        [oracle.of_members(part) for part in whole],
        gaps,
        6,
    )
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, rel=1e-9), name


def test_auc_is_compared_as_by_hand():
    rng = np.random.default_rng(3)
    n_bins, n_days = 6, 7
    scores = rng.integers(0, n_bins, (n_days + 1, 2, 60))
    labels = rng.random(scores.shape) < scores / n_bins

    def binned(chosen):
        return np.stack([
            [np.bincount(scores[day, s][chosen[day, s]], minlength=n_bins) for s in (0, 1)]
            for day in range(n_days + 1)
        ])  # fmt: skip

    positives, negatives = binned(labels), binned(~labels)
    found = slice_changes.compare(
        slice_changes.auc_estimates(negatives[-1], positives[-1]),
        slice_changes.auc_estimates(negatives[:-1].sum(0), positives[:-1].sum(0)),
        slice_changes.auc_influence(negatives[:-1], positives[:-1]),
        n_days,
    )
    day = np.repeat(np.arange(n_days), 60)
    whole = [(scores[:-1, s].ravel(), labels[:-1, s].ravel()) for s in (0, 1)]
    own, rest = (oracle.influence_on_auc(*part, day, n_days) for part in whole)
    expected = oracle.comparison(
        [oracle.of_scores(scores[-1, s], labels[-1, s]) for s in (0, 1)],
        [oracle.of_scores(*part) for part in whole],
        own - rest,
        n_days,
    )
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, rel=1e-9), name
        assert found[name][1] == pytest.approx(
            -value if name == "difference_in_changes" else found[name][1], rel=1e-9
        )


def test_nothing_is_known_of_nothing():
    """No members, no rest, one day, no variance: NaN, and no warning or infinity."""
    zero, some = np.array([0, 10, 0]), np.array([0, 100, 0])
    now = slice_changes.rate_estimates(zero, some)
    days = np.stack([zero, zero]), np.stack([some, some])
    found = slice_changes.compare(now, now, slice_changes.mean_influence(*days), 2)
    assert np.isnan(found["pvalue"]).all()
    assert np.isnan(slice_changes.least_expected(now, now)).all()
    means = slice_changes.mean_estimates(np.array([0.0, 5.0]), np.array([0.0, 2.5]), [0, 10])
    assert np.isnan(slice_changes.compare(means, means, np.zeros((3, 2)), 3)["pvalue"]).all()
    perfect = slice_changes.auc_estimates(*np.array([[[9, 0], [9, 0]], [[0, 9], [0, 9]]]))
    found = slice_changes.compare(perfect, perfect, np.zeros((5, 2)), 5)
    assert np.isnan(found["pvalue"]).all()
    assert np.isnan(slice_changes.design_effect(np.zeros((1, 2)), np.ones(2), 1)).all()


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 60), st.integers(0, 40), st.integers(0, 60)),
        min_size=1,
        max_size=8,
    )
)
def test_contributions_add_up(slices):
    k1, n1, k0, n0 = np.array(slices).T
    k1, k0 = np.minimum(k1, n1), np.minimum(k0, n0)
    with np.errstate(invalid="ignore"):
        v1, v0 = np.where(n1, k1 / np.maximum(n1, 1), np.nan), np.where(n0, k0 / np.maximum(n0, 1), np.nan)  # noqa: E501  # fmt: skip
    own, mix, whole = slice_changes.contributions(v1, n1, v0, n0)
    if not n1.sum() or not n0.sum():
        assert np.isnan(own).all() and np.isnan(mix).all() and np.isnan(whole)
        return
    assert whole == pytest.approx(k1.sum() / n1.sum() - k0.sum() / n0.sum(), abs=1e-12)
    assert (own + mix).sum() == pytest.approx(whole, abs=1e-12)
    # Now and the reference change places: all is the same, the other way round.
    back_own, back_mix, back = slice_changes.contributions(v0, n0, v1, n1)
    np.testing.assert_allclose([*own, *mix, whole], -np.array([*back_own, *back_mix, back]), atol=1e-12)  # noqa: E501  # fmt: skip


def test_contributions_of_mix_and_of_rate_alone():
    rates, shares = np.array([0.9, 0.5]), np.array([50, 50])
    own, mix, whole = slice_changes.contributions(rates, np.array([80, 20]), rates, shares)
    assert own.tolist() == [0, 0]
    assert mix.sum() == pytest.approx(whole) == pytest.approx(0.12)
    own, mix, whole = slice_changes.contributions(np.array([0.7, 0.5]), shares, rates, shares)
    np.testing.assert_allclose(own, [-0.1, 0])
    np.testing.assert_allclose(mix, 0, atol=1e-15)
    # A slice that is new: all of it is mix.
    own, mix, whole = slice_changes.contributions(
        np.array([0.9, 0.3]), np.array([50, 50]), np.array([0.9, np.nan]), np.array([50, 0])
    )
    assert own.tolist() == [0, 0]
    assert mix.sum() == pytest.approx(whole) == pytest.approx(-0.3)


# --- What the q-values are worth -----------------------------------------------------------------


def rate_world(rng, *, days, base, spread=0.0, mean=100, least=50, n=16, fall=0.0, shift=0.0):
    """q-values of one family of rates: 0.05 or less is a finding. Slice 0 may fall."""
    reference_days, window_days = days
    size = np.maximum(rng.geometric(1 / mean, n), least)
    p = rng.uniform(*base, n)

    def draw(n_days, p):
        trials = np.tile(size, (n_days, 1))
        chance = np.broadcast_to(p, trials.shape)
        if spread:  # days differ: members of one day are correlated
            chance = rng.beta(chance * (1 / spread - 1), (1 - chance) * (1 / spread - 1))
        return rng.binomial(trials, chance), trials

    k0, n0 = draw(reference_days, p)
    moved = p + shift
    moved[0] += fall
    k1, n1 = (part.sum(0) for part in draw(window_days, moved))
    now = slice_changes.rate_estimates(k1, n1)
    then = slice_changes.rate_estimates(k0.sum(0), n0.sum(0))
    influence = slice_changes.mean_influence(k0, n0)
    pvalue = slice_changes.compare(now, then, influence, reference_days)["pvalue"]
    return q_values(pvalue, slice_changes.least_expected(now, then) >= 5)


def score_world(rng, *, metric, days=(14, 1), base=(-2, 0), apart=(0.8, 1.5), spread=0.0, n=12, lost=0.0):  # noqa: E501  # fmt: skip
    """q-values of one family of ROC AUC or Brier scores. Slice 0 may lose its signal."""
    reference_days, window_days = days
    size = np.maximum(rng.geometric(1 / 100, n), 50)
    level, width = rng.uniform(*base, n), rng.uniform(*apart, n)
    edges = np.arange(1, 60) / 60

    def draw(n_days, lost):
        counts = np.zeros((2, n_days, n, 60), int)
        errors, squares = np.zeros((2, n_days, n))
        for s in range(n):
            day = np.repeat(np.arange(n_days), size[s])
            logit = width[s] * rng.normal(size=len(day))
            kept = (1 - lost if s == 0 else 1) * logit
            label = rng.random(len(day)) < expit(level[s] + kept + rng.normal(size=n_days)[day] * spread)  # noqa: E501  # fmt: skip
            score = expit(level[s] + logit)
            np.add.at(counts[:, :, s], (label.astype(int), day, np.searchsorted(edges, score)), 1)
            errors[:, s] = np.bincount(day, (score - label) ** 2, n_days)
            squares[:, s] = np.bincount(day, (score - label) ** 4, n_days)
        return counts, errors, squares

    (c0, e0, s0), (c1, e1, s1) = draw(reference_days, 0), draw(window_days, lost)
    if metric == "roc_auc":
        now = slice_changes.auc_estimates(*c1.sum(1))
        then = slice_changes.auc_estimates(*c0.sum(1))
        influence = slice_changes.auc_influence(*c0)
        takes_part = c1.sum(axis=(1, 3)).min(axis=0) >= 10
    else:
        n0, n1 = c0.sum(axis=(0, 3)), c1.sum(axis=(0, 1, 3))
        now = slice_changes.mean_estimates(e1.sum(0), s1.sum(0), n1)
        then = slice_changes.mean_estimates(e0.sum(0), s0.sum(0), n0.sum(0))
        influence = slice_changes.mean_influence(e0, n0)
        takes_part = np.ones(n, bool)
    return q_values(
        slice_changes.compare(now, then, influence, reference_days)["pvalue"], takes_part
    )


def q_values(pvalue, takes_part):
    return benjamini_hochberg(np.where(takes_part, pvalue, np.nan), np.zeros(len(pvalue), int))


def flagged(world, families, seed=1) -> tuple[float, float]:
    """Share of families with any finding, and of those in which slice 0 is one."""
    rng = np.random.default_rng(seed)
    found = np.array([np.nan_to_num(world(rng), nan=1.0) <= 0.05 for _ in range(families)])
    return found.any(axis=1).sum(), found[:, 0].mean()


CALM = [
    {"days": (14, 1), "base": (0.6, 0.9)},
    {"days": (45, 1), "base": (0.6, 0.9), "spread": 0.02},
    {"days": (14, 7), "base": (0.6, 0.9), "spread": 0.02, "least": 8},
    {"days": (45, 7), "base": (0.01, 0.03), "spread": 0.02, "least": 8},
    {"days": (45, 7), "base": (0.97, 0.995), "least": 8},
    {"days": (5, 1), "base": (0.6, 0.9), "spread": 0.02},
    # All slices fall alike: none of them otherwise than the rest.
    {"days": (45, 1), "base": (0.85, 0.95), "shift": -0.3},
    {"days": (45, 1), "base": (0.6, 0.9), "n": 2, "spread": 0.02},
]


@pytest.mark.parametrize("world", CALM)
def test_rates_without_a_change_are_flagged_in_at_most_five_percent(world):
    count, _ = flagged(partial(rate_world, **world), 800)
    # No more than 5 % by all that 800 families can tell.
    assert wilson_interval(count, 800)[0] <= 0.05


@pytest.mark.parametrize("metric", ["roc_auc", "brier_score"])
@pytest.mark.parametrize(
    "world",
    [{"days": (40, 1)}, {"base": (-3, -2.5), "apart": (2.5, 3), "days": (40, 1)}, {"spread": 0.4}],
)
def test_scores_without_a_change_are_flagged_in_at_most_five_percent(metric, world):
    count, _ = flagged(partial(score_world, metric=metric, **world), 120)
    assert wilson_interval(count, 120)[0] <= 0.05


def test_without_the_expected_spread_and_the_days_more_would_be_flagged(monkeypatch):
    """The simulation can tell: the plain test flags more than 5 %."""
    world = partial(rate_world, days=(45, 1), base=(0.6, 0.9), spread=0.02)
    monkeypatch.setattr(slice_changes, "design_effect", lambda *sides: np.ones_like(sides[1]))
    count, _ = flagged(world, 300)
    assert wilson_interval(count, 300)[0] > 0.3


def test_a_slice_that_falls_is_found():
    def found(**world):
        return flagged(partial(rate_world, days=(14, 7), base=(0.75, 0.85), **world), 200)[1]

    calm, small, large = found(), found(fall=-0.1), found(fall=-0.25)
    assert calm <= 0.03
    assert small > 0.5
    assert large > 0.95
    # Days that differ hide a fall of 10 points in many, and not one of 25.
    assert small > found(fall=-0.1, spread=0.02)
    assert found(fall=-0.25, spread=0.02) > 0.8


def test_a_slice_whose_scores_lose_their_signal_is_found():
    for metric, least in (("roc_auc", 0.8), ("brier_score", 0.25)):
        world = partial(
            score_world, metric=metric, days=(14, 7), apart=(1.5, 2), base=(-1, 0), n=6, lost=1.0
        )
        assert flagged(world, 40)[1] >= least, metric


# --- Late labels ---------------------------------------------------------------------------------


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 400), st.integers(0, 400))
def test_two_rates_as_scipy(hits_a, misses_a, hits_b, misses_b):
    table = np.array([[hits_a, misses_a], [hits_b, misses_b]])
    found = label_views.two_rates_pvalue(
        hits_a, hits_a + misses_a, hits_b, hits_b + misses_b
    ).item()
    expected = np.outer(table.sum(1), table.sum(0)) / max(table.sum(), 1)
    if expected.min() < 5 - 1e-9:
        assert np.isnan(found)
    elif expected.min() > 5 + 1e-9:
        assert found == pytest.approx(
            stats.chi2_contingency(table, correction=False).pvalue, rel=1e-6
        )


def test_two_rates_refuse_what_are_no_counts():
    with pytest.raises(ValueError, match="successes must be between 0 and trials, got 3 to 3"):
        label_views.two_rates_pvalue(3, 2, 1, 2)
