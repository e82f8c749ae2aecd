import dataclasses
import math
from fractions import Fraction

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

import drift

COUNTS = st.one_of(st.integers(0, 4), st.integers(0, 60), st.sampled_from([0, 0, 1, 10**9]))


@st.composite
def count_pairs(draw, elements=COUNTS, max_rows=4, max_bins=30):
    shape = (draw(st.integers(1, max_rows)), draw(st.integers(1, max_bins)))
    return tuple(draw(hnp.arrays(np.int64, shape, elements=elements)) for _ in range(2))


def shares(counts):
    return counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)


def is_filled(reference, current):
    return reference.any(axis=-1) & current.any(axis=-1)


# Bins as the project has them.


def continuous_edges(baseline, n_bins=200):
    quantiles = np.quantile(baseline, np.linspace(0, 1, n_bins + 1)[1:])
    return np.unique([np.nextafter(baseline.min(), -np.inf), *quantiles])


def discrete_edges(baseline):
    values = np.unique(baseline)
    return np.unique([np.nextafter(values, -np.inf), values])


def binned(values, edges):
    bins = np.searchsorted(edges, values, side="left")
    return np.bincount(bins, minlength=len(edges) + 1)


def single_valued(values, edges):
    bins = np.searchsorted(edges, values, side="left")
    return np.array([len(set(values[bins == b])) == 1 for b in range(len(edges) + 1)])


def pooled_psi(reference, current, reference_nulls=0, current_nulls=0, *, is_discrete=False):
    cells = drift.psi_cells(
        np.atleast_2d(reference),
        np.atleast_2d(current),
        np.atleast_1d(reference_nulls),
        np.atleast_1d(current_nulls),
        is_discrete=is_discrete,
    )
    return drift.psi(shares(cells.reference), shares(cells.current)), cells


# Population stability index.


@pytest.mark.parametrize(("floor", "expected"), [(1e-6, 1.16182), (1e-4, 0.70062), (1e-2, 0.21777)])
def test_psi_depends_on_the_floor(floor, expected):
    found = drift.psi([0.5, 0.5, 0.0], [0.45, 0.45, 0.1], floor=floor)
    assert found == pytest.approx(expected, abs=5e-6)


@given(count_pairs(), st.sampled_from([1e-6, 1e-3, 0.4]))
def test_psi_equals_a_loop(pair, floor):
    found = drift.psi(*map(shares, pair), floor=floor)
    for reference, current, value in zip(*map(shares, pair), found, strict=True):
        if not reference.any() or not current.any():
            assert math.isnan(value)
            continue
        terms = [
            (max(c, floor) - max(r, floor)) * math.log(max(c, floor) / max(r, floor))
            for r, c in zip(reference.tolist(), current.tolist(), strict=True)
        ]
        assert value == pytest.approx(math.fsum(terms), rel=1e-12, abs=1e-15)
        assert value >= 0


def test_psi_of_equal_sides_is_0_and_cells_empty_on_both_add_nothing():
    assert drift.psi([0.25, 0.75], [0.25, 0.75]) == 0
    assert drift.psi([0.25, 0.75, 0], [0.5, 0.5, 0]) == drift.psi([0.25, 0.75], [0.5, 0.5])


@pytest.mark.parametrize("function", [drift.psi, drift.js_distance])
@pytest.mark.parametrize("bad", [[-0.1, 1.1], [np.nan, 1.0], [np.inf, 0.0], [3.0, 7.0]])
def test_proportions_are_in_0_to_1(function, bad):
    for arguments in ((bad, [0.5, 0.5]), ([0.5, 0.5], bad)):
        with pytest.raises(ValueError, match=r"proportions in \[0, 1\]"):
            function(*arguments)
    with pytest.raises(ValueError, match="same bins"):
        function([1.0], [0.5, 0.5])


@pytest.mark.parametrize("floor", [0.0, 1.0, -1e-6, np.nan, 5e-324])
def test_psi_refuses_what_is_no_floor(floor):
    with pytest.raises(ValueError, match="floor"):
        drift.psi([1.0], [1.0], floor=floor)


# Jensen-Shannon distance.


@given(count_pairs())
def test_js_distance_equals_scipy(pair):
    reference, current = map(shares, pair)
    found = drift.js_distance(reference, current)
    filled = is_filled(*pair)
    assert np.isnan(found[~filled]).all()
    assert ((found[filled] >= 0) & (found[filled] <= 1)).all()
    expected = distance.jensenshannon(reference[filled], current[filled], base=2, axis=-1)
    # A distance is the root of a divergence, so rounding of 1e-16 is 1e-8 in it.
    np.testing.assert_allclose(found[filled], np.nan_to_num(expected), rtol=1e-10, atol=1e-7)
    np.testing.assert_allclose(found[filled] ** 2, np.nan_to_num(expected) ** 2, atol=1e-14)


def test_js_distance_oracle():
    assert drift.js_distance([0.5, 0.3, 0.2], [0.4, 0.4, 0.2]) == pytest.approx(0.0958432, abs=5e-8)
    assert drift.js_distance([1.0, 0.0], [0.0, 1.0]) == 1
    assert drift.js_distance([5e-324, 0.0], [0.0, 5e-324]) == 1


@given(hnp.arrays(float, 7, elements=st.floats(0.01, 1)), st.integers(-3, 3))
def test_js_distance_of_nearly_equal_sides_is_no_nan(weights, ulps):
    reference = weights / weights.sum()
    current = np.clip(reference + ulps * np.spacing(reference), 0, 1)
    assert 0 <= drift.js_distance(reference, current) < 1e-7
    assert drift.js_distance(reference, reference) == 0


# Kolmogorov-Smirnov.


@given(count_pairs(st.integers(0, 8)))
def test_ks_equals_scipy_where_bins_are_values(pair):
    found = drift.ks_statistic(*pair)
    bound = drift.ks_error_bound(*pair, np.True_)
    for reference, current, statistic, error in zip(*pair, found, bound, strict=True):
        raw = [np.repeat(np.arange(len(side)), side) for side in (reference, current)]
        if len(raw[0]) and len(raw[1]):
            with np.errstate(divide="ignore"):
                expected = stats.ks_2samp(*raw, method="asymp")
            assert statistic == expected.statistic
            assert error == 0
            pvalue = drift.ks_pvalue(statistic, len(raw[0]), len(raw[1]))
            np.testing.assert_allclose(pvalue, expected.pvalue, rtol=1e-8)
        else:
            assert math.isnan(statistic)
            assert math.isnan(error)


RAW = st.lists(st.one_of(st.integers(-3, 3).map(float), st.floats(-4, 4)), min_size=1, max_size=40)


@given(RAW, RAW, st.sets(st.floats(-5, 5), min_size=0, max_size=8))
def test_ks_error_bound_holds(reference, current, edges):
    reference, current, edges = np.array(reference), np.array(current), np.array(sorted(edges))
    counts = binned(reference, edges), binned(current, edges)
    is_single_value = single_valued(np.concatenate([reference, current]), edges)
    statistic = drift.ks_statistic(*counts)
    bound = drift.ks_error_bound(*counts, is_single_value)
    with np.errstate(divide="ignore"):
        exact = stats.ks_2samp(reference, current, method="asymp").statistic
    assert statistic - 1e-12 <= exact <= statistic + bound + 1e-12


def test_ks_error_bound_is_attained():
    # One bin, in which all of the reference lies below all of the current window.
    assert drift.ks_statistic([0, 5], [0, 5]) + drift.ks_error_bound([0, 5], [0, 5], False) == 1
    assert drift.ks_error_bound([2, 3, 5], [5, 5, 0], [False, False, True]) == 0.3
    assert drift.ks_error_bound([2, 3, 5], [5, 5, 0], [False, True, True]) == 0.2


def test_ks_needs_gap_bins():
    reference, current = np.repeat([0.0, 1.0], [495, 505]), np.repeat([0.0, 100.0], [510, 490])
    both = np.concatenate([reference, current])
    without_gaps = np.array([0.0])
    counts = binned(reference, without_gaps), binned(current, without_gaps)
    assert drift.ks_statistic(*counts) == pytest.approx(0.015)
    # What bins without gaps would claim if the baseline alone said which bins hold one value.
    assert drift.ks_error_bound(*counts, [True, True]) == 0
    assert drift.ks_error_bound(*counts, single_valued(both, without_gaps)) == pytest.approx(0.49)
    edges = discrete_edges(reference)
    counts = binned(reference, edges), binned(current, edges)
    assert drift.ks_statistic(*counts) == pytest.approx(0.49)
    assert drift.ks_error_bound(*counts, single_valued(both, edges)) == 0
    assert stats.ks_2samp(reference, current).statistic == pytest.approx(0.49)


def kstwo_cases(low, high, size, largest_z):
    """Sizes and statistics, from those all samples reach to those that none does."""
    rng = np.random.default_rng(low)
    n = rng.integers(low, high, 3 * size)
    parts = np.split(n, 3)
    d = np.concatenate(
        [
            rng.uniform(0.1, largest_z, size) / np.sqrt(parts[0]),
            rng.uniform(0.3, 12, size) / parts[1],
            rng.uniform(0, 1, size),
        ]
    )
    return np.clip(d, 0, 1), n


@pytest.mark.parametrize(
    ("low", "high", "size", "largest_z", "rtol"),
    [
        (1, 20, 200, 4, 1e-8),
        (20, 141, 120, 4, 1e-8),
        (141, 257, 100, 5, 1e-8),
        (257, 1001, 60, 5, 1e-6),
        (1001, 3000, 30, 5, 1e-7),
        (50_000, 60_000, 6, 3, 1e-8),
        (10**6 + 1, 10**9, 100, 5, 1e-8),
    ],
)
def test_ks_pvalue_equals_kstwo(low, high, size, largest_z, rtol):
    d, n = kstwo_cases(low, high, size, largest_z)
    expected = stats.kstwo.sf(d, n)
    # Sizes 2 n and 2 n have the effective size n.
    found = drift.ks_pvalue(d, 2 * n, 2 * n)
    likely = expected > 1e-12
    np.testing.assert_allclose(found[likely], expected[likely], rtol=rtol)
    likely &= expected < 0.9
    np.testing.assert_allclose(found[likely], expected[likely], rtol=1e-8)
    np.testing.assert_allclose(found[expected <= 1e-12], expected[expected <= 1e-12], 1e-3, 1e-300)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 20, 140, 141, 256, 257, 1000, 1001])
def test_ks_pvalue_equals_kstwo_where_the_method_changes(n):
    knots = np.concatenate(
        [
            np.array([0.5, 1, 1.5, 8, 8.5, 9, 11, 14, 18, n - 1, n]) / n,
            np.sqrt(np.array([0.754693, 2.2, 4, 18]) / n),
            [(1.4 / n) ** (2 / 3), 0, 0.5, 1],
        ]
    )
    d = np.concatenate([knots * factor for factor in (1 - 1e-9, 1, 1 + 1e-9)])
    d = d[(d >= 0) & (d <= 1)]
    np.testing.assert_allclose(
        drift.ks_pvalue(d, 2 * n, 2 * n), stats.kstwo.sf(d, n), 1e-6 if n > 256 else 1e-8, 1e-13
    )


def test_ks_pvalue_is_fast():
    # scipy takes over an hour for these.
    rng = np.random.default_rng(5)
    n = np.exp(rng.uniform(np.log(20), np.log(2e6), 20_000)).astype(int)
    d = np.sqrt(rng.uniform(0.1, 20, len(n)) / n).clip(0, 1)
    pvalue = drift.ks_pvalue(d, n, n)
    assert ((pvalue >= 0) & (pvalue <= 1)).all()


@pytest.mark.parametrize("n", [3, 50, 139, 200, 700, 3000, 2_000_000])
def test_ks_pvalue_falls_as_the_statistic_rises(n):
    pvalue = drift.ks_pvalue(np.linspace(0, min(1, 20 / n**0.5), 500), 2 * n, 2 * n)
    assert pvalue[0] == 1
    # scipy's methods differ by up to 2e-6 where they meet.
    assert (pvalue[1:] <= pvalue[:-1] * (1 + 1e-5)).all()


def test_ks_pvalue_broadcasts_and_repeats():
    d = np.array([[0.1, 0.2, 0.1], [np.nan, 0.2, 1.0]])
    found = drift.ks_pvalue(d, 500, np.array([200, 300, 200]))
    assert found.shape == d.shape
    assert found[0, 0] == found[0, 2]
    assert found[0, 1] == found[1, 1]
    assert found[1, 2] == 0
    assert math.isnan(found[1, 0])
    # One statistic at neighbouring sizes, and the other way about.
    np.testing.assert_allclose(
        drift.ks_pvalue([0.1, 0.1, 0.2], [300, 302, 302], [300, 302, 302]),
        stats.kstwo.sf([0.1, 0.1, 0.2], [150, 151, 151]),
        rtol=1e-8,
    )
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        np.testing.assert_allclose(
            drift.ks_pvalue([0.4, 1.4 / 256], [6, 512], [6, 512]),
            stats.kstwo.sf([0.4, 1.4 / 256], [3, 256]),
            rtol=1e-8,
        )


def test_ks_pvalue_without_an_answer():
    found = drift.ks_pvalue([0.5, 0.5, np.nan, 0.5], [0, 5, 5, 1], [5, 0, 5, 1])
    assert np.isnan(found).all()
    # scipy has none for one against one either.
    with np.errstate(divide="ignore"):
        assert math.isnan(stats.ks_2samp([1], [2], method="asymp").pvalue)
    assert drift.ks_pvalue(np.array([]), 3, 4).shape == (0,)


@pytest.mark.parametrize("statistic", [-0.1, 1.1, np.inf])
def test_ks_pvalue_refuses_what_is_no_statistic(statistic):
    with pytest.raises(ValueError, match=r"statistics must be in \[0, 1\]"):
        drift.ks_pvalue([0.5, statistic], 5, 5)


# Wasserstein distance.


WIDE = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e3, 1e3))
WIDE_RAW = st.lists(WIDE, min_size=1, max_size=40)


@settings(max_examples=300)
@given(WIDE_RAW, WIDE_RAW, st.sets(WIDE, min_size=0, max_size=8))
def test_wasserstein_error_bound_holds(reference, current, edges):
    reference, current, edges = np.array(reference), np.array(current), np.array(sorted(edges))
    both = np.concatenate([reference, current])
    found, bound = drift.wasserstein_distance(
        binned(reference, edges), binned(current, edges), edges, both.min(), both.max()
    )
    exact = stats.wasserstein_distance(reference, current)
    assert abs(found - exact) <= bound + 1e-12 * max(np.abs(both).max(), 1)


def test_wasserstein_error_bound_is_attained():
    # All of the reference just above the lower edge, all of the current window in the next bin,
    # just below its upper edge: lines through both bins miss half of either.
    edges = np.array([0.0, 1.0, 2.0])
    reference, current = np.full(9, 1e-9), np.full(7, 2.0)
    found, bound = drift.wasserstein_distance(
        binned(reference, edges), binned(current, edges), edges, 0.0, 2.0
    )
    assert found == 1
    assert bound == 1
    assert stats.wasserstein_distance(reference, current) == pytest.approx(2)


@given(count_pairs(st.integers(0, 9), max_bins=8), st.randoms(use_true_random=False))
def test_wasserstein_integrates_exactly(pair, random):
    """Against the integral piece by piece, in fractions, crossings and all."""
    n_bins = pair[0].shape[1]
    edges = np.cumsum([random.randint(1, 4) for _ in range(n_bins - 1)]).astype(float)
    lowest, highest = -2.0, (edges[-1] if n_bins > 1 else 0) + 3.0
    found, bound = drift.wasserstein_distance(*pair, edges, lowest, highest)
    knots = [Fraction(x) for x in (lowest, *edges, highest)]
    for reference, current, value, error in zip(*pair, found, bound, strict=True):
        totals = int(reference.sum()), int(current.sum())
        if not all(totals):
            assert math.isnan(value)
            assert math.isnan(error)
            continue
        left = area = width_share = Fraction(0)
        for b in range(n_bins):
            r, c = Fraction(int(reference[b]), totals[0]), Fraction(int(current[b]), totals[1])
            width, right = knots[b + 1] - knots[b], left + r - c
            if left * right < 0:
                cut = width * abs(left) / (abs(left) + abs(right))
                area += abs(left) * cut / 2 + abs(right) * (width - cut) / 2
            else:
                area += width * abs(left + right) / 2
            width_share += width * (r + c) / 2
            left = right
        assert value == pytest.approx(float(area), abs=1e-12)
        assert error == pytest.approx(float(width_share), abs=1e-12)


def test_wasserstein_of_single_values_is_exact():
    reference, current = np.repeat([0.0, 1.0, 5.0], [3, 4, 3]), np.repeat([0.0, 5.0], [5, 2])
    edges = discrete_edges(reference)
    found, bound = drift.wasserstein_distance(
        binned(reference, edges), binned(current, edges), edges, 0.0, 5.0
    )
    assert found == pytest.approx(stats.wasserstein_distance(reference, current), abs=1e-14)
    assert bound < 1e-14


def test_wasserstein_ignores_bins_beyond_the_extremes():
    edges = np.array([-1e300, 0.0, 1.0, 1e300])
    found, bound = drift.wasserstein_distance([0, 0, 4, 0, 0], [0, 0, 2, 0, 0], edges, 0.25, 0.75)
    assert found == 0
    assert bound == 0.5


def test_wasserstein_without_an_answer():
    edges = np.array([0.0])
    for arguments in (
        ([0, 0], [1, 2], edges, 0.0, 1.0),
        ([1, 2], [0, 0], edges, 0.0, 1.0),
        ([1, 2], [1, 2], edges, np.nan, np.nan),
        ([1, 2], [2, 1], np.array([1.6e308]), -1.7e308, 1.7e308),
    ):
        assert np.isnan(drift.wasserstein_distance(*arguments)).all()


@pytest.mark.parametrize(
    ("edges", "lowest", "highest", "message"),
    [
        ([0.0, 1.0], 0.0, 1.0, "edges of shape"),
        ([np.nan], 0.0, 1.0, "must rise and not be NaN"),
        ([0.0], 1.0, 0.0, "over highest"),
        ([0.0], -np.inf, 0.0, "finite or NaN"),
        ([0.0], [0.0, 0.0], 1.0, "lowest and highest of shapes"),
    ],
)
def test_wasserstein_refuses_what_does_not_fit(edges, lowest, highest, message):
    with pytest.raises(ValueError, match=message):
        drift.wasserstein_distance([1, 2], [1, 2], edges, lowest, highest)
    with pytest.raises(ValueError, match="must rise"):
        drift.wasserstein_distance([1, 2, 3], [1, 2, 3], [1.0, 1.0], 0.0, 1.0)


# Chi-square.


@given(count_pairs())
@example((np.array([[2, 3]]), np.array([[20, 30]])))
def test_chi_square_equals_scipy(pair):
    statistic, pvalue = drift.chi_square(*pair)
    for reference, current, *found in zip(*pair, statistic, pvalue, strict=True):
        table = np.array([reference, current])
        table = table[:, table.any(axis=0)]
        if table.shape[1] < 2 or not table.any(axis=1).all():
            assert np.isnan(found).all()
            continue
        expected = stats.chi2_contingency(table, correction=False)
        # Differences of shares lose digits where shares are nearly equal.
        atol = 1e-12 * np.sqrt(table.sum())
        np.testing.assert_allclose(found[0], expected.statistic, rtol=1e-9, atol=atol)
        if expected.statistic < 1e3:
            np.testing.assert_allclose(found[1], expected.pvalue, rtol=1e-7, atol=1e-12)


def test_chi_square_oracle():
    statistic, pvalue = drift.chi_square([50, 30, 20], [40, 40, 20])
    assert statistic == pytest.approx(2.539683, abs=5e-7)
    assert pvalue == pytest.approx(0.280876, abs=5e-7)
    assert drift.chi_square([50, 0, 30, 20], [40, 0, 40, 20])[1] == pvalue


def test_chi_square_of_unequal_sizes_sees_the_shares():
    # Ten times as many requests with the same shares are no drift.
    statistic, pvalue = drift.chi_square([50, 30, 20], [500, 300, 200])
    assert statistic == 0
    assert pvalue == 1


# Noise of PSI.


def test_psi_noise_floor_predicts_a_simulation():
    floor = drift.psi_noise_floor(10, 2000, 300)
    assert floor == pytest.approx(0.0345)
    rng = np.random.default_rng(0)
    values = np.sort(rng.random((4000, 2000)), axis=1)
    edges = values[:, 199:-1:200]
    reference = np.full((4000, 10), 200)
    bins = (rng.random((4000, 300))[:, :, None] > edges[:, None, :]).sum(axis=-1)
    current = np.array([np.bincount(row, minlength=10) for row in bins])
    found = drift.psi(shares(reference), shares(current))
    assert found.mean() == pytest.approx(0.0354, abs=0.0006)
    assert np.mean(found > drift.psi_noise_quantile(10, 2000, 300)) == pytest.approx(0.05, abs=0.02)


@given(st.integers(0, 300), st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0.01, 0.99))
def test_psi_noise_equals_the_formulas(n_cells, n_reference, n_current, q):
    floor = drift.psi_noise_floor(n_cells, n_reference, n_current)
    quantile = drift.psi_noise_quantile(n_cells, n_reference, n_current, q=q)
    if n_cells < 2 or not n_reference or not n_current:
        assert math.isnan(floor)
        assert math.isnan(quantile)
        return
    scale = 1 / n_reference + 1 / n_current
    assert floor == pytest.approx((n_cells - 1) * scale, rel=1e-14)
    assert quantile == pytest.approx(stats.chi2.ppf(q, n_cells - 1) * scale, rel=1e-12)


def test_psi_noise_refuses_what_it_cannot_mean():
    with pytest.raises(ValueError, match=r"q must be in \(0, 1\)"):
        drift.psi_noise_quantile(10, 100, 100, q=1.0)
    with pytest.raises(ValueError, match="n_reference must not be negative"):
        drift.psi_noise_floor(10, -1, 100)
    with pytest.raises(ValueError, match="n_cells must be integers"):
        drift.psi_noise_floor(10.0, 1, 100)


# Cells of PSI.


def cells_of_row(reference, current, reference_nulls, current_nulls, *, is_discrete, min_count):
    """The rules, one bin and cell after the other."""
    reference, current = reference.tolist(), current.tolist()
    totals = sum(reference) + reference_nulls, sum(current) + current_nulls
    if not totals[0]:
        return [-1] * (len(reference) + 1), [], -1, -1
    groups, before = {}, 0
    for b, count in enumerate(reference):
        tenth = min(9, 10 * before // (sum(reference) or 1))
        groups.setdefault(b if is_discrete else tenth, []).append(b)
        before += count
    groups = [groups[key] for key in sorted(groups)]
    if reference_nulls or current_nulls:
        groups.append([len(reference)])
    reference, current = [*reference, reference_nulls], [*current, current_nulls]
    kept, pooled = [], []
    for group in groups:
        count = sum(reference[b] for b in group)
        expected = Fraction(count * totals[1], totals[0])
        (kept if count >= min_count and expected >= min_count else pooled).append(group)
    pooled = [b for group in pooled for b in group]
    rest = sum(reference[b] for b in pooled), sum(current[b] for b in pooled)
    rest_cell = joined_cell = -1
    if any(rest):
        expected = Fraction(rest[0] * totals[1], totals[0])
        if expected >= min_count or rest[1] >= min_count or not kept:
            rest_cell = len(kept)
            kept.append(pooled)
        else:
            joined_cell = len(kept) - 1
            kept[-1] = kept[-1] + pooled
    cell = [-1] * len(reference)
    for index, group in enumerate(kept):
        for b in group:
            cell[b] = index
    sums = [tuple(sum(side[b] for b in group) for side in (reference, current)) for group in kept]
    return cell, sums, rest_cell, joined_cell


CELL_COUNTS = st.one_of(st.just(0), st.integers(0, 30), st.sampled_from([9, 10, 11, 10**9]))
NULLS = st.one_of(st.just(0), CELL_COUNTS)


@settings(max_examples=300)
@given(count_pairs(CELL_COUNTS, max_bins=25), st.data(), st.booleans(), st.integers(1, 12))
def test_psi_cells_equal_the_rules(pair, data, is_discrete, min_count):
    n_rows, n_bins = pair[0].shape
    nulls = [np.array(data.draw(st.lists(NULLS, min_size=n_rows, max_size=n_rows))) for _ in "ab"]
    found = drift.psi_cells(*pair, *nulls, is_discrete=is_discrete, min_count=min_count)
    max_cells = (n_bins if is_discrete else 10) + 2
    assert found.reference.shape == found.current.shape == (n_rows, max_cells)
    for row in range(n_rows):
        sides = pair[0][row], pair[1][row]
        empty = int(nulls[0][row]), int(nulls[1][row])
        cell, sums, rest_cell, joined_cell = cells_of_row(
            *sides, *empty, is_discrete=is_discrete, min_count=min_count
        )
        assert found.cell[row].tolist() == cell
        assert found.n_cells[row] == len(sums)
        assert (found.rest_cell[row], found.joined_cell[row]) == (rest_cell, joined_cell)
        padded = [*sums, *[(0, 0)] * (max_cells - len(sums))]
        counts = found.reference[row].tolist(), found.current[row].tolist()
        assert list(zip(*counts, strict=True)) == padded
        if len(sums):
            # No row is lost.
            assert sum(counts[0]) == sides[0].sum() + empty[0]
            assert sum(counts[1]) == sides[1].sum() + empty[1]
            left_out = found.cell[row] == -1
            assert not sum(side[left_out[:-1]].sum() for side in sides)
            assert not left_out[-1] or not any(empty)


def test_psi_cells_of_totals_beyond_a_product_of_64_bits():
    counts = np.full((1, 200), 10**9)
    cells = drift.psi_cells(counts, counts, [10**9], [10**9], is_discrete=True)
    assert cells.n_cells.tolist() == [201]
    assert cells.cell.tolist() == [list(range(201))]


def test_psi_cells_of_a_continuous_feature():
    # 20 bins of 50 between a minimum and a maximum; 40 below, 60 above.
    reference = np.array([[0, *[50] * 20, 0]])
    current = np.array([[40, *[45] * 20, 60]])
    cells = drift.psi_cells(reference, current, [0], [0], is_discrete=False)
    assert cells.cell.tolist() == [[0, *np.repeat(range(10), 2), 9, -1]]
    assert cells.reference.tolist() == [[*[100] * 10, 0, 0]]
    assert cells.current.tolist() == [[130, *[90] * 8, 150, 0, 0]]
    # Quantiles are of the values: with nulls there are ten cells still.
    cells = drift.psi_cells(reference, current, [1000], [0], is_discrete=False)
    assert cells.cell.tolist() == [[0, *np.repeat(range(10), 2), 9, 10]]
    assert cells.n_cells.tolist() == [11]


def test_psi_cells_pool_what_is_small():
    def cells(reference, current, reference_nulls=0, current_nulls=0):
        found = drift.psi_cells(
            np.array([reference]),
            np.array([current]),
            np.array([reference_nulls]),
            np.array([current_nulls]),
            is_discrete=True,
        )
        return (
            found.cell[0].tolist(),
            found.n_cells[0],
            found.rest_cell[0],
            found.joined_cell[0],
        )

    # 9 rows are too few; 10 expected are enough, at equal sizes.
    assert cells([100, 10, 9], [100, 10, 9]) == ([0, 1, 1, -1], 2, -1, 1)
    # 19 x 10 / 39 expected: under 10, though 10 are found in the reference.
    assert cells([19, 10, 10], [19, 0, 0]) == ([0, 0, 0, -1], 1, 0, -1)
    # Two small cells make a rest of 18, which stands alone.
    assert cells([100, 9, 9], [100, 9, 9]) == ([0, 1, 1, -1], 2, 1, -1)
    # So does one of which 10 are expected, whatever is found.
    assert cells([100, 5, 5], [101, 4, 5]) == ([0, 1, 1, -1], 2, 1, -1)
    assert cells([101, 5, 4], [101, 4, 5]) == ([0, 0, 0, -1], 1, -1, 0)
    # New values stand alone when 10 are found.
    assert cells([100, 0, 100], [50, 10, 50]) == ([0, 2, 1, -1], 3, 2, -1)
    assert cells([100, 0, 100], [50, 9, 50]) == ([0, 1, 1, -1], 2, -1, 1)
    # An unseen bin without rows, and no rest.
    assert cells([100, 0, 100], [50, 0, 50]) == ([0, -1, 1, -1], 2, -1, -1)
    # Nulls are the last cell, which a small rest joins.
    assert cells([100, 5, 100], [50, 5, 50], 100, 50) == ([0, 2, 1, 2], 3, -1, 2)
    # Nothing there to compare with, or to compare.
    assert cells([0, 0], [5, 5], 0, 5) == ([-1, -1, -1], 0, -1, -1)
    assert cells([100, 50], [0, 0], 7) == ([0, 0, 0], 1, 0, -1)
    # All null.
    assert cells([0, 0], [0, 0], 50, 50) == ([-1, -1, 0], 1, -1, -1)


def test_psi_cells_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="min_count"):
        drift.psi_cells([[1]], [[1]], [0], [0], is_discrete=True, min_count=0)
    with pytest.raises(ValueError, match="shape"):
        drift.psi_cells([[1]], [[1]], [0, 0], [0, 0], is_discrete=True)
    with pytest.raises(ValueError, match="shape"):
        drift.psi_cells([1], [1], 0, 0, is_discrete=True)


# q-values and levels.


PVALUES = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.5, 1.0, np.nan]))


@given(st.lists(st.tuples(PVALUES, st.integers(-2, 4)), max_size=60))
def test_benjamini_hochberg_equals_scipy(tests):
    pvalue = np.array([test[0] for test in tests])
    family = np.array([test[1] for test in tests], int)
    found = drift.benjamini_hochberg(pvalue, family)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(pvalue))
    for label in set(family.tolist()):
        members = (family == label) & ~np.isnan(pvalue)
        if members.any():
            expected = stats.false_discovery_control(pvalue[members])
            np.testing.assert_array_equal(found[members], expected)


def test_benjamini_hochberg_refuses_what_does_not_fit():
    for pvalue, family, message in (
        ([0.5, 1.5], [0, 0], r"p-values must be in \[0, 1\]"),
        ([0.5], [0, 0], "families of"),
        ([0.5], [0.5], "families must be integers"),
    ):
        with pytest.raises(ValueError, match=message):
            drift.benjamini_hochberg(pvalue, family)


@pytest.mark.parametrize(
    ("psi", "noise", "own", "qvalue", "level"),
    [
        (0.09, 0.01, 0.01, 0.01, 0),
        (0.1, 0.01, 0.01, 0.01, 1),
        (0.24, 0.01, np.nan, np.nan, 1),
        (0.25, 0.01, 0.01, 0.01, 2),
        (0.3, 0.3, 0.01, 0.01, 0),
        (0.3, 0.01, 0.3, 0.01, 0),
        (0.3, 0.01, 0.29, 0.05, 0),
        (0.3, 0.01, 0.29, 0.0499, 2),
        (np.nan, 0.01, 0.01, 0.01, -1),
        # Too large to be called no drift, but without the noise that it must exceed.
        (0.3, np.nan, 0.01, 0.01, -1),
        (0.01, np.nan, 0.01, 0.01, 0),
    ],
)
def test_drift_level(psi, noise, own, qvalue, level):
    found = drift.drift_level(psi, noise, own, qvalue)
    assert np.issubdtype(found.dtype, np.integer)
    assert found == level


def test_drift_level_by_other_thresholds():
    found = drift.drift_level([0.1, 0.2, 0.3], 0.0, np.nan, np.nan, moderate=0.2, significant=0.3)
    assert found.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="moderate"):
        drift.drift_level(0.1, 0.1, 0.1, 0.1, moderate=0.3, significant=0.2)


# What all have in common.


def all_statistics(reference, current):
    n_bins = reference.shape[-1]
    edges = np.linspace(-1, 1, n_bins - 1) ** 3
    r, c = shares(reference), shares(current)
    n_reference, n_current = reference.sum(axis=-1), current.sum(axis=-1)
    cells = drift.psi_cells(
        reference, current, n_reference % 7, n_current % 5, is_discrete=bool(n_bins % 2)
    )
    ks = drift.ks_statistic(reference, current)
    return [
        drift.psi(r, c),
        drift.js_distance(r, c),
        ks,
        drift.ks_error_bound(reference, current, reference + current == 1),
        drift.ks_pvalue(ks, n_reference, n_current),
        *drift.wasserstein_distance(
            reference, current, edges, np.full(len(r), -2.0), np.full(len(r), 2.0)
        ),
        *drift.chi_square(reference, current),
        drift.psi_noise_floor(cells.n_cells, n_reference, n_current),
        drift.psi_noise_quantile(cells.n_cells, n_reference, n_current),
        drift.psi(shares(cells.reference), shares(cells.current)),
        *(getattr(cells, field.name) for field in dataclasses.fields(cells)),
    ]


@pytest.mark.parametrize(("n_bins", "most"), [(7, 4), (40, 6), (203, 4), (30, 500), (20, 10**9)])
def test_a_row_is_the_same_alone_and_in_a_batch(n_bins, most):
    rng = np.random.default_rng(n_bins)
    counts = rng.integers(0, most, (2, 40, n_bins)) // rng.integers(1, 9, (2, 40, 1))
    counts[0, 0] = counts[1, 1] = 0
    # Some sides all but equal, for p-values that are not all 0.
    counts[1, 10:30] = counts[0, 10:30] // 4 + rng.integers(0, 2, (20, n_bins))
    together = all_statistics(*counts)
    turned = all_statistics(*counts[:, ::-1])
    for row in range(40):
        alone = all_statistics(*counts[:, row : row + 1])
        for statistic, reverse, single in zip(together, turned, alone, strict=True):
            assert statistic[row].tobytes() == single[0].tobytes()
            assert statistic[row].tobytes() == reverse[39 - row].tobytes()


def test_ks_pvalue_is_the_same_alone_and_in_a_batch():
    rng = np.random.default_rng(1)
    n = np.exp(rng.uniform(np.log(2), np.log(2e7), 300)).astype(int)
    d = np.sqrt(rng.uniform(0.05, 20, 300) / n).clip(0, 1)
    together = drift.ks_pvalue(d, n, n)
    assert np.unique(together).size > 200
    for row in range(300):
        assert drift.ks_pvalue(d[row], n[row], n[row]) == together[row]


def test_empty_cells_at_the_end_change_no_bit():
    rng = np.random.default_rng(2)
    counts = rng.integers(0, 50, (2, 30, 21))
    padded = np.concatenate([counts, np.zeros((2, 30, 13), int)], axis=-1)
    for function in (drift.psi, drift.js_distance):
        found, again = function(*shares(counts)), function(*shares(padded))
        assert found.tobytes() == again.tobytes()
    for function in (drift.chi_square, drift.ks_statistic):
        np.testing.assert_array_equal(function(*counts), function(*padded))


def test_leading_axes_broadcast():
    rng = np.random.default_rng(3)
    reference, current = rng.integers(0, 9, 6), rng.integers(0, 9, (2, 3, 6))
    for function in (drift.ks_statistic, drift.chi_square):
        found = np.array(function(reference, current))
        assert found.shape[-2:] == (2, 3)
        assert found[..., 1, 2].tolist() == np.array(function(reference, current[1, 2])).tolist()
    assert drift.psi(shares(reference), shares(current)).shape == (2, 3)
    assert drift.ks_statistic(np.zeros((0, 4), int), np.zeros((0, 4), int)).shape == (0,)


@pytest.mark.parametrize(
    "function",
    [
        drift.ks_statistic,
        drift.chi_square,
        lambda *sides: drift.ks_error_bound(*sides, np.False_),
        lambda *sides: drift.wasserstein_distance(*sides, np.array([0.0]), 0.0, 1.0),
        lambda *sides: drift.psi_cells(*sides, [0], [0], is_discrete=True),
    ],
)
def test_counts_are_whole_and_not_negative(function):
    good = np.array([[1, 2]])
    for bad, message in (
        (np.array([[1.0, 2.0]]), "must be integers"),
        (np.array([[1, -2]]), "must not be negative"),
        (np.array([[1, 2, 3]]), "same bins"),
    ):
        with pytest.raises(ValueError, match=message):
            function(bad, good)
        with pytest.raises(ValueError, match=message):
            function(good, bad)


def test_is_single_value_is_bool_and_fits():
    with pytest.raises(ValueError, match="must be bool"):
        drift.ks_error_bound([1, 2], [1, 2], [1, 0])
    with pytest.raises(ValueError, match="is_single_value of shape"):
        drift.ks_error_bound([1, 2], [1, 2], [True, False, True])
    with pytest.raises(ValueError, match="is_single_value of shape"):
        drift.ks_error_bound([1, 2], [1, 2], [[True, False]])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n_bins", [1, 2, 5])
def test_nothing_is_infinite_whatever_is_empty(n_bins):
    # Empty windows, constant features, only new values, huge counts, in all combinations.
    sides = [np.eye(n_bins, dtype=int)[0], np.eye(n_bins, dtype=int)[-1] * 10**9]
    sides += [np.zeros(n_bins, int), np.full(n_bins, 10**9)]
    pairs = np.array([(a, b) for a in sides for b in sides]).swapaxes(0, 1)
    for statistic in all_statistics(*pairs):
        assert not np.isinf(statistic).any()
    empty = ~is_filled(*pairs)
    for statistic in all_statistics(*pairs)[:9]:
        assert np.isnan(statistic[empty]).all()


# Rules of thumb that give wrong answers.


def test_one_outlier_does_not_hide_a_shift():
    rng = np.random.default_rng(4)
    clean, current = rng.normal(0, 1, 5000), rng.normal(0.5, 1, 5000)
    outlier = np.append(clean, 1000.0)

    def ours(baseline, current):
        edges = continuous_edges(baseline)
        return pooled_psi(binned(baseline, edges), binned(current, edges))[0].item()

    def equal_width(baseline, current):
        pooled = np.concatenate([baseline, current])
        edges = np.linspace(pooled.min(), pooled.max(), 11)
        counts = [np.histogram(side, edges)[0] for side in (baseline, current)]
        return drift.psi(*map(shares, counts)).item()

    assert ours(clean, current) == pytest.approx(0.25, abs=0.03)
    assert ours(outlier, current) == pytest.approx(ours(clean, current), abs=0.003)
    assert ours(clean, np.append(current, 1000.0)) == pytest.approx(ours(clean, current), abs=0.003)
    # Bins of equal width from pooled data.
    assert equal_width(outlier, current) < 0.02


@pytest.fixture(scope="module")
def normal_samples():
    np.random.seed(0)
    return np.random.normal(0, 1, 5000), np.random.normal(0.5, 1.2, 5000)


def test_values_beyond_the_baseline_count(normal_samples):
    reference, current = normal_samples
    edges = continuous_edges(reference)
    counts = binned(reference, edges), binned(current, edges)
    assert counts[0][0] == counts[0][-1] == 0
    assert counts[1][-1] > 0
    found, cells = pooled_psi(*counts)
    assert found == pytest.approx(0.2195, abs=5e-5)
    assert cells.n_cells.tolist() == [10]
    # The common way drops them.
    deciles = np.quantile(reference, np.linspace(0, 1, 11))
    dropped = [np.histogram(side, deciles)[0] for side in normal_samples]
    assert drift.psi(*map(shares, dropped)) == pytest.approx(0.2156, abs=5e-5)


def test_ks_and_wasserstein_of_the_normal_samples(normal_samples):
    reference, current = normal_samples
    edges = continuous_edges(reference)
    counts = binned(reference, edges), binned(current, edges)
    both = np.concatenate(normal_samples)

    statistic = drift.ks_statistic(*counts)
    bound = drift.ks_error_bound(*counts, single_valued(both, edges))
    assert bound < 0.01
    assert statistic <= 0.1916 <= statistic + bound
    exact = stats.ks_2samp(reference, current, method="exact")
    assert exact.statistic == pytest.approx(0.1916, abs=1e-12)
    # method="auto" is exact up to 10,000 rows; ours is "asymp" at any size, far beyond any q-value.
    assert exact.pvalue == pytest.approx(1.2535463e-80, rel=1e-7)
    asymp = stats.ks_2samp(reference, current, method="asymp")
    assert asymp.pvalue == pytest.approx(7.4610702e-81, rel=1e-7)
    pvalue = drift.ks_pvalue(exact.statistic, 5000, 5000)
    assert pvalue == pytest.approx(asymp.pvalue, rel=1e-8)

    found, error = drift.wasserstein_distance(*counts, edges, both.min(), both.max())
    assert abs(found - 0.489865) <= error < 0.1


def zipf_windows(n_reference, n_current, n_windows):
    rng = np.random.default_rng(6)
    p = 1 / np.arange(1, 201)
    p /= p.sum()
    return rng.multinomial(n_reference, p, n_windows), rng.multinomial(n_current, p, n_windows)


def test_many_rare_categories_do_not_pass_for_drift():
    n_windows = 2000
    nulls = np.zeros(n_windows, int)

    def exceeding(n_reference, n_current):
        windows = zipf_windows(n_reference, n_current, n_windows)
        found, cells = pooled_psi(*windows, nulls, nulls, is_discrete=True)
        noise = drift.psi_noise_quantile(cells.n_cells, n_reference, n_current)
        return np.mean(found > noise)

    assert 0.03 <= exceeding(5000, 300) <= 0.11
    assert 0.10 <= exceeding(2000, 5000) <= 0.20
    # Without pooling, the floor alone is taken for drift.
    reference, current = zipf_windows(5000, 300, n_windows)
    assert drift.psi(shares(reference), shares(current)).mean() == pytest.approx(1.6, abs=0.2)


def test_new_categories_and_nulls_show_in_full():
    reference = np.append(zipf_windows(5000, 0, 1)[0][0], 0)
    new = np.zeros(201, int)
    new[-1] = 300
    found, cells = pooled_psi(reference, new, is_discrete=True)
    assert cells.rest_cell[0] == cells.n_cells[0] - 1
    assert cells.current[0, cells.rest_cell[0]] == 300
    # All that is left of the seen cells is the floor.
    rest = cells.reference[0, cells.rest_cell[0]] / 5000
    assert found > (1 - rest) * math.log(0.01 / 1e-6)

    seen = reference[reference >= 200]
    reference_rows, current_rows = seen, seen * 7 // 10
    nulls = round(current_rows.sum() * 3 / 7)
    found, cells = pooled_psi(reference_rows, current_rows, 0, nulls, is_discrete=True)
    assert cells.cell[0, -1] == cells.rest_cell[0] == len(seen)
    expected = 0.3 * math.log(0.3 / 1e-6) + 0.3 * math.log(1 / 0.7)
    assert found == pytest.approx(expected, rel=1e-3)


def test_constant_and_empty_features_do_not_crash():
    reference = np.full(500, 3.0)
    edges = discrete_edges(reference)
    counts = binned(reference, edges)
    found, cells = pooled_psi(counts, counts, is_discrete=True)
    assert found == 0
    assert cells.n_cells.tolist() == [1]
    assert np.isnan(drift.psi_noise_floor(cells.n_cells, 500, 500)).all()
    # All null, against values.
    found, _ = pooled_psi(counts, counts * 0, 0, 500, is_discrete=True)
    assert found > 20
    # Nothing at all.
    found, cells = pooled_psi(counts, counts * 0, is_discrete=True)
    assert np.isnan(found).all()
    assert np.isnan(drift.chi_square(counts, counts)).all()


@given(count_pairs())
def test_out_of_range_counts_what_is_beyond_all_of_the_reference(pair):
    expected = []
    for reference, current in zip(*pair, strict=True):
        filled = np.flatnonzero(reference)
        if not len(filled) or not current.any():
            expected.append(0)
            continue
        expected.append(current[: filled[0]].sum() + current[filled[-1] + 1 :].sum())
    assert drift.out_of_range_count(*pair).tolist() == expected
