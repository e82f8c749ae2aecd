"""Where a change came from: sums that add up, brute force, and planted causes that are found."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

import latency
import root_causes
from root_causes import Members

CASES = 100
LEAST_FOUND = 95


def counts_of(draw_from, n_slices, n_bins):
    shape = st.lists(
        st.lists(st.integers(0, 30), min_size=n_bins, max_size=n_bins),
        min_size=n_slices, max_size=n_slices,
    )  # fmt: skip
    return np.array([draw_from(shape), draw_from(shape)])


@st.composite
def binned(draw):
    """Counts of two sides, some slices and bins; slices may be missing on a side."""
    n_slices, n_bins = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    return counts_of(draw, n_slices, n_bins)


def inverted_cdf(counts, values, percent):
    return np.quantile(np.repeat(values, counts), percent / 100, method="inverted_cdf")


# --- The parts add up to the change --------------------------------------------------------------


@given(binned())
def test_effects_of_means_add_up_to_the_change(counts):
    values = np.arange(counts.shape[-1]) ** 2 / 7
    members = root_causes.scored(counts, values)
    within, mix = root_causes.effects([members])
    totals = counts.sum(axis=1)
    if (totals.sum(axis=1) == 0).any():
        assert np.isnan(within + mix).all()
        return
    before, now = ((side * values).sum() / side.sum() for side in totals)
    assert (within + mix).sum() == pytest.approx(now - before, abs=1e-9)


@given(binned(), st.sampled_from([1, 50, 95, 99, 100]))
def test_effects_of_percentiles_add_up_to_the_change(counts, percent):
    values = np.cumsum(np.arange(counts.shape[-1]) + 1.5)
    scores = root_causes.quantile_scores(counts.sum(axis=1), values, percent)
    within, mix = root_causes.effects([root_causes.scored(counts, scores)])
    if (counts.sum(axis=(1, 2)) == 0).any():
        assert np.isnan(within + mix).all()
        return
    before, now = (inverted_cdf(side, values, percent) for side in counts.sum(axis=1))
    assert (within + mix).sum() == pytest.approx(now - before, abs=1e-9)


@given(binned(), st.integers(0, 2**32 - 1))
def test_effects_of_auc_add_up_to_the_change(negatives, seed):
    positives = np.random.default_rng(seed).permuted(negatives, axis=-1)
    parts = auc_parts(negatives, positives)
    within, mix = (sum(both) for both in zip(*[root_causes.effects([p]) for p in parts]))  # noqa: B905
    if (negatives.sum(axis=(1, 2)) == 0).any():
        assert np.isnan(within + mix).all()
        return
    before, now = (
        auc_by_sklearn(n, p)
        for n, p in zip(negatives.sum(axis=1), positives.sum(axis=1), strict=True)
    )
    assert (within + mix).sum() == pytest.approx(now - before, abs=1e-9)


@given(binned(), st.integers(0, 2**32 - 1))
def test_effects_of_ece_add_up_to_the_change(counts, seed):
    rng = np.random.default_rng(seed)
    gap = counts * rng.uniform(-1, 1, counts.shape)
    sizes = counts.sum(axis=(1, 2))
    if (sizes == 0).any():
        return
    whole = gap.sum(axis=1) / sizes[:, None]
    slope = root_causes.ece_scores(whole)
    assert (np.abs(slope) <= 1).all()
    total = (gap * slope).sum(axis=-1)
    within, mix = root_causes.effects([Members(counts.sum(axis=-1) * 1.0, total, total**2)])
    before, now = np.abs(whole).sum(axis=1)
    assert (within + mix).sum() == pytest.approx(now - before, abs=1e-9)


def auc_parts(negatives, positives):
    of_positives, of_negatives = root_causes.auc_scores(
        negatives.sum(axis=1), positives.sum(axis=1)
    )
    return [
        root_causes.scored(positives, of_positives, 0.5),
        root_causes.scored(negatives, of_negatives, 0.5),
    ]


def auc_by_sklearn(negatives, positives):
    bins = np.arange(len(negatives))
    y_score = np.concatenate([np.repeat(bins, negatives), np.repeat(bins, positives)])
    y_true = np.repeat([0, 1], [negatives.sum(), positives.sum()])
    return sk.roc_auc_score(y_true, y_score)


# --- Brute force ---------------------------------------------------------------------------------


def test_a_slice_of_a_rate_by_hand():
    # Shares 0.8 and 0.2 become 0.5 and 0.5; rates 0.1 and 0.4 become 0.1 and 0.6.
    members = Members(
        np.array([[80.0, 20.0], [50.0, 50.0]]),
        np.array([[8.0, 8.0], [5.0, 30.0]]),
        np.array([[8.0, 8.0], [5.0, 30.0]]),
    )
    within, mix = root_causes.effects([members])
    middle = (0.16 + 0.35) / 2
    assert within == pytest.approx([0, 0.35 * 0.2], abs=1e-12)
    assert mix == pytest.approx([-0.3 * (0.1 - middle), 0.3 * (0.5 - middle)], abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_percentiles_are_what_many_small_steps_of_mixtures_give(seed):
    """Walk from one distribution to the other; at each jump of the percentile, whose was it?"""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 40, (2, 3, 25))
    counts[1, 0] = np.roll(counts[1, 0], 6)
    counts[1, :, :8] //= seed + 2
    values = np.cumsum(rng.uniform(0.5, 2, 25))
    scores = root_causes.quantile_scores(counts.sum(axis=1), values, 80)
    within, mix = root_causes.effects([root_causes.scored(counts, scores)])

    sizes = counts.sum(axis=(1, 2))
    cdfs = counts.cumsum(axis=-1) / sizes[:, None, None]
    shares = counts.sum(axis=-1) / sizes[:, None]
    steps = np.linspace(0, 1, 200_001)
    found = np.zeros(3)
    whole = cdfs.sum(axis=1)
    at = np.array(
        [
            np.searchsorted(whole[0] + t * (whole[1] - whole[0]), 0.8 - 1e-12, side="left")
            for t in steps
        ]
    )
    for before, now in pairwise(at):
        # In one small step it may pass an empty bin or two.
        for k in range(min(before, now), max(before, now)):
            # Shares count from the whole: a slice like the whole that grows moves nothing.
            middle = whole[:, k].mean()
            moved = cdfs[1, :, k] - shares[1] * middle - cdfs[0, :, k] + shares[0] * middle
            found += np.sign(now - before) * (values[k + 1] - values[k]) * moved / moved.sum()
    assert within + mix == pytest.approx(found, abs=1e-9)


def test_percentiles_are_within_their_bins_of_numpys():
    rng = np.random.default_rng(5)
    samples = rng.lognormal(4, 1, 5000)
    bins = np.ceil(np.log(samples) / np.log(1.04)).astype(int)
    known, counts = np.unique(bins, return_counts=True)
    position = root_causes.quantile_bins(counts, 95)
    exact = np.quantile(samples, 0.95, method="inverted_cdf")
    assert latency.bin_values(known)[position] == pytest.approx(exact, rel=latency.RELATIVE_ERROR)


def test_placements_of_slices_are_those_of_pairs_of_members():
    rng = np.random.default_rng(3)
    negatives, positives = rng.integers(0, 6, (2, 2, 3, 7))
    parts = auc_parts(negatives, positives)
    for side in (0, 1):
        for own in range(3):
            # Every pair of a positive of the slice and any negative.
            wins = [
                (high > low) + (high == low) / 2
                for high in np.repeat(np.arange(7), positives[side, own])
                for low in np.repeat(np.arange(7), negatives[side].sum(axis=0))
            ]
            mean = parts[0].total[side, own] / parts[0].count[side, own]
            assert mean == pytest.approx(np.mean(wins), abs=1e-12)
    whole = [part.whole() for part in parts]
    means = sum(part.weight * part.total[:, 0] / part.count[:, 0] for part in whole)
    expected = [
        auc_by_sklearn(n, p)
        for n, p in zip(negatives.sum(axis=1), positives.sum(axis=1), strict=True)
    ]
    assert means == pytest.approx(expected, abs=1e-12)


def test_a_gap_that_changes_its_sign_is_shared_by_the_way_to_it():
    # From -0.1 to 0.3: for a quarter of the way the ECE falls, for the rest it rises.
    assert root_causes.ece_scores(np.array([[-0.1], [0.3]])) == pytest.approx([0.5])
    assert root_causes.ece_scores(np.array([[0.2], [0.2]])) == pytest.approx([1.0])
    assert root_causes.ece_scores(np.array([[-0.2], [-0.3]])) == pytest.approx([-1.0])


def test_taking_a_slice_out_leaves_the_change_of_the_rest():
    members = Members(
        np.array([[80.0, 20.0], [50.0, 50.0]]),
        np.array([[8.0, 8.0], [5.0, 30.0]]),
        np.array([[8.0, 8.0], [5.0, 30.0]]),
    )
    change, zscore = root_causes.explained([members], [members.whole()])
    # Without the second slice the rate stays 0.1: all 0.19 go. Without the first one 0.2 stays.
    assert change == pytest.approx([0.19 - 0.2, 0.19], abs=1e-12)
    assert zscore[1] > 2 > abs(zscore[0])


def test_a_slice_that_is_all_there_is_explains_nothing():
    members = Members(np.array([[9.0], [9.0]]), np.array([[1.0], [5.0]]), np.array([[1.0], [5.0]]))
    change, zscore = root_causes.explained([members], [members.whole()])
    assert np.isnan(change).all()
    assert np.isnan(zscore).all()
    sides = np.array([[-1, -1]])
    _, _, rank, is_distinct = root_causes.cause_ranks([members], [members.whole()], sides, 0.4)
    assert rank.tolist() == [1]
    assert not is_distinct.any()


@pytest.mark.parametrize(
    ("rates", "least"), [([0.1, 0.1, 0.1], 0.03), ([0.05, 0.15, 0.1], 0.004), ([0.002] * 3, 0.01)]
)
def test_zscores_without_a_change_are_beyond_their_quantile_as_seldom_as_said(rates, least):
    """Of 4000 draws at most some 5 % are beyond 1.96: slices of low rates are judged with more."""
    rng = np.random.default_rng(11)
    shares = np.array([0.1, 0.3, 0.6])
    count = np.array([rng.multinomial(size, shares, 4000) for size in (6000, 2000)])
    total = rng.binomial(count, rates).astype(float)
    found = []
    for draw in range(4000):
        members = Members(count[:, draw] * 1.0, total[:, draw], total[:, draw])
        found.append(root_causes.explained([members], [members.whole()])[1])
    beyond = (np.abs(found) > 1.96).mean(axis=0)
    assert (beyond > least).all()
    assert (beyond < 0.07).all()


def test_one_rare_member_of_a_tiny_slice_is_no_discovery():
    """One error where a hundredth was expected: a Poisson count has that in 1 of 100 slices."""
    members = Members(*(np.array(part, float) for part in [
        [[20, 79980], [2, 7998]], [[0, 400], [1, 39]], [[0, 400], [1, 39]],
    ]))  # fmt: skip
    zscore = root_causes.explained([members], [members.whole()])[1]
    expected = np.sqrt(2 * (np.log(1 / 0.01) - 0.99))
    assert zscore[0] == pytest.approx(expected, rel=0.05)
    # Without the bound it would be 1 / sqrt(0.01).
    unbound = Members(members.count, members.total, members.square_total, reach=0.0)
    assert root_causes.explained([unbound], [members.whole()])[1][0] > 6


def test_scores_of_large_samples_are_changes_in_standard_errors():
    """The rate of one half goes from 0.2 to 0.201, that of the other one stays: by hand."""
    members = Members(*(np.array(part, float) for part in [
        [[1e6, 1e6], [1e6, 1e6]], [[2e5, 2e5], [2.01e5, 2e5]], [[2e5, 2e5], [2.01e5, 2e5]],
    ]))  # fmt: skip
    change, zscore = root_causes.explained([members], [members.whole()])
    assert change[0] == pytest.approx(0.0005)
    now = 0.2005
    error = np.sqrt((0.2 * 0.8 + now * (1 - now)) / 2e6 + 0.0005**2 * 0.25 / 1e6)
    assert zscore[0] == pytest.approx(0.0005 / error, rel=1e-3)


def ranked(counts, totals):
    members = Members(*(np.array(part, float) for part in (counts, totals, totals)))
    within, mix = root_causes.effects([members])
    sides = np.full((len(counts[0]), 2), -1)
    return root_causes.cause_ranks([members], [members.whole()], sides, (within + mix).sum())


def test_in_an_outage_of_all_no_slice_is_a_cause():
    """All fall to nothing, from levels that differ: what differs for certain does not matter."""
    _, zscore, _, is_distinct = ranked(
        [[10_000] * 4, [10_000] * 4], [[9_800, 9_600, 9_700, 9_700], [0, 0, 0, 0]]
    )
    assert zscore.min() < -4
    assert not is_distinct.any()


def test_a_slice_that_is_the_cause_is_distinct_and_the_only_one():
    found, _, rank, is_distinct = ranked(
        [[10_000] * 4, [10_000] * 4], [[200, 200, 200, 200], [200, 900, 200, 210]]
    )
    assert rank.argmin() == 1
    assert is_distinct.tolist() == [False, True, False, False]
    assert found[1] == pytest.approx(0.03775 - 0.02 - (610 - 600) / 30_000)


# --- Planted causes ------------------------------------------------------------------------------


class World:
    """Two attributes that go together: each of 12 carriers prefers some of 3 origins."""

    def __init__(self, rng, *, is_correlated=False):
        self.rng = rng
        self.shares = rng.dirichlet(np.full(12, 2.0))
        self.origins = rng.dirichlet(np.full(3, 0.7), size=12) * 0.85 + 0.05
        if is_correlated:
            # One large carrier flies from one origin nearly always, others seldom do.
            self.shares[0] = self.shares.max()
            self.shares /= self.shares.sum()
            self.origins[:, 0] *= 0.3
            self.origins[0] = [0.94, 0.03, 0.03]
        self.origins /= self.origins.sum(axis=1, keepdims=True)
        self.level = rng.uniform(0.5, 1.5, 12)

    def members(self, size, shares=None):
        carrier = self.rng.choice(12, size, p=self.shares if shares is None else shares)
        draws = self.rng.random(size)[:, None]
        return carrier, (draws > self.origins.cumsum(axis=1)[carrier]).sum(axis=1).clip(0, 2)

    def planted(self, kind):
        """A carrier, an origin or a pair that is neither all nor nearly nothing."""
        joint = self.shares[:, None] * self.origins
        if kind == "pair":
            is_fit = (
                (joint > 0.03)
                & (joint < 0.6 * joint.sum(1, keepdims=True))
                & (joint < 0.6 * joint.sum(0))
            )
            places = np.argwhere(is_fit)
            return tuple(places[self.rng.integers(len(places))])
        if self.rng.random() < 0.3:
            return (None, self.rng.integers(3))
        return (self.rng.choice(np.flatnonzero(self.shares > 0.05)), None)


def is_in(carrier, origin, planted):
    chosen = np.ones(len(carrier), bool)
    for values, wanted in zip((carrier, origin), planted, strict=True):
        if wanted is not None:
            chosen &= values == wanted
    return chosen


NAMES = (
    [(c, None) for c in range(12)]
    + [(None, o) for o in range(3)]
    + [(c, o) for c in range(12) for o in range(3)]
)
SIDES = np.array(
    [
        (NAMES.index((c, None)), NAMES.index((None, o))) if None not in (c, o) else (-1, -1)
        for c, o in NAMES
    ]
)


def by_candidate(sides, bins, n_bins):
    """Counts by side, carrier, origin or pair, and bin; of sides as (carrier, origin)."""
    return np.array(
        [
            [np.bincount(of[is_in(*where, name)], minlength=n_bins) for name in NAMES]
            for where, of in zip(sides, bins, strict=True)
        ]
    )


def first_cause(parts):
    wholes = [part.at(np.arange(12)).whole() for part in parts]
    within, mix = root_causes.effects([part.at(np.arange(12)) for part in parts])
    _, _, rank, _ = root_causes.cause_ranks(parts, wholes, SIDES, (within + mix).sum())
    return NAMES[int(np.argmin(rank))]


def largest_contribution(parts):
    """What is first without any rule: the largest part of the change, of slices and pairs."""
    found = np.concatenate(
        [
            sum(root_causes.effects([part.at(np.array(of_key)) for part in parts]))
            for of_key in (range(12), range(12, 15), range(15, 51))
        ]
    )
    return NAMES[int(np.argmax(np.abs(found)))]


def rate_case(rng, kind):
    world = World(rng, is_correlated=kind == "correlated")
    planted = (0, None) if kind == "correlated" else world.planted(kind)
    rates = 0.03 * world.level
    # A pair is small: as much of a change in all as a slice makes takes more of it.
    strength = 0.3 if kind == "pair" else 0.12
    sides, bins = [], []
    for size, is_now in ((20000, False), (6000, True)):
        where = world.members(size)
        rate = rates[where[0]] + strength * (is_now & is_in(*where, planted))
        sides.append(where)
        bins.append((rng.random(size) < rate).astype(int))
    return planted, [root_causes.scored(by_candidate(sides, bins, 2), np.array([0.0, 1.0]))]


def mix_case(rng, kind):
    """A carrier with a rate of its own is three times as frequent; no rate changes."""
    world = World(rng, is_correlated=kind == "correlated mix")
    is_free = (world.shares > 0.03) & (world.shares < 0.2)
    carrier = 0 if kind == "correlated mix" else rng.choice(np.flatnonzero(is_free))
    rates = 0.03 * world.level
    rates[carrier] = 0.25
    more = world.shares * np.where(np.arange(12) == carrier, 3, 1)
    sides, bins = [], []
    for size, shares in ((20000, world.shares), (6000, more / more.sum())):
        where = world.members(size, shares)
        sides.append(where)
        bins.append((rng.random(size) < rates[where[0]]).astype(int))
    return (carrier, None), [root_causes.scored(by_candidate(sides, bins, 2), np.array([0.0, 1.0]))]


def latency_case(rng, kind):
    world = World(rng, is_correlated=kind == "correlated")
    planted = (0, None) if kind == "correlated" else world.planted(kind)
    sides, bins = [], []
    for size, is_now in ((8000, False), (3000, True)):
        where = world.members(size)
        ms = rng.lognormal(4, 0.4, size) * world.level[where[0]] ** 0.3
        ms *= np.where(is_now & is_in(*where, planted) & (rng.random(size) < 0.6), 4, 1)
        sides.append(where)
        bins.append(np.ceil(np.log(ms) / np.log(1.04)).astype(int) + 20)
    counts = by_candidate(sides, bins, 250)
    values = latency.bin_values(np.arange(250) - 20)
    scores = root_causes.quantile_scores(counts[:, :12].sum(axis=1), values, 95)
    return planted, [root_causes.scored(counts, scores)]


def auc_case(rng, kind):
    world = World(rng, is_correlated=kind == "correlated")
    planted = (0, None) if kind == "correlated" else world.planted(kind)
    sides, bins, labels = [], [], []
    for size, is_now in ((40000, False), (20000, True)):
        where = world.members(size)
        chance = rng.beta(1, 3, size)
        y_true = rng.random(size) < chance
        # The scores of what has been planted say nothing any more.
        lost = is_now & is_in(*where, planted)
        score = np.where(lost, rng.beta(1, 3, size), chance)
        sides.append(where)
        bins.append((score * 100).astype(int))
        labels.append(y_true)
    by_class = [
        by_candidate(
            [
                tuple(part[y == value] for part in where)
                for where, y in zip(sides, labels, strict=True)
            ],
            [of[y == value] for of, y in zip(bins, labels, strict=True)],
            100,
        )
        for value in (False, True)
    ]
    negatives, positives = by_class
    of_positives, of_negatives = root_causes.auc_scores(
        negatives[:, :12].sum(axis=1), positives[:, :12].sum(axis=1)
    )
    return planted, [
        root_causes.scored(positives, of_positives, 0.5),
        root_causes.scored(negatives, of_negatives, 0.5),
    ]


PLANTED = [
    (rate_case, "slice"),
    (rate_case, "correlated"),
    (rate_case, "pair"),
    (mix_case, "mix"),
    (mix_case, "correlated mix"),
    (latency_case, "slice"),
    (latency_case, "correlated"),
    (latency_case, "pair"),
    (auc_case, "slice"),
    (auc_case, "correlated"),
    (auc_case, "pair"),
]


@pytest.mark.parametrize(("make", "kind"), PLANTED)
def test_the_planted_cause_is_first(make, kind):
    found, found_by_size = 0, 0
    for seed in range(CASES):
        planted, parts = make(np.random.default_rng([seed, len(kind)]), kind)
        found += first_cause(parts) == planted
        found_by_size += largest_contribution(parts) == planted
    # pytest -rP shows it.
    print(f"{make.__name__} {kind}: {found} of {CASES}; by size {found_by_size}")
    assert found >= LEAST_FOUND
