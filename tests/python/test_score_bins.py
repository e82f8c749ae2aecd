import itertools
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from score_bins import COARSE_BINS, FINE_BINS, calibration_bin, score_edges

GRIDS = {
    (n_bins, calibration_bins): score_edges(n_bins, calibration_bins=calibration_bins)
    for n_bins in (1, 7, COARSE_BINS, FINE_BINS)
    for calibration_bins in (1, 2, 3, 10, 15, 100)
}
UNDER_ONE = np.nextafter(1.0, 0.0)


@pytest.mark.parametrize("edges", GRIDS.values(), ids=str)
def test_edges_rise_from_0_to_just_under_1(edges):
    assert edges[0] == 0
    assert edges[-1] == UNDER_ONE
    assert (np.diff(edges) > 0).all()


def test_first_bin_holds_0_and_last_bin_1_alone():
    edges = score_edges()
    scores = np.array([0.0, 5e-324, UNDER_ONE, 1.0])
    bins = np.searchsorted(edges, scores, side="left")
    assert bins.tolist() == [0, 1, len(edges) - 1, len(edges)]


@pytest.mark.parametrize("n_bins", [COARSE_BINS, FINE_BINS])
def test_edges_are_evenly_spaced_logits_to_nine_digits(n_bins):
    with localcontext() as context:
        context.prec = 40
        least = Decimal("1e-6")
        span = ((1 - least) / least).ln()
        exact = [1 / (1 + (-span * (2 * i - n_bins) / n_bins).exp()) for i in range(n_bins + 1)]
        expected = {float(f"{probability:.9g}") for probability in exact}
        # Far enough from a tie that no machine's exp rounds another way.
        for probability in exact:
            digits = probability.scaleb(8 - probability.adjusted())
            assert abs(digits % 1 - Decimal("0.5")) / digits > Decimal("1e-13")
    others = {0.0, UNDER_ONE} | {float(np.nextafter(k / 10, 0)) for k in range(1, 10)}
    assert set(score_edges(n_bins).tolist()) == expected | others
    assert {1e-6, 0.5, 0.999999} <= expected
    np.testing.assert_allclose(sorted(expected), 1 - np.array(sorted(expected))[::-1], atol=1e-9)


@pytest.mark.parametrize("coarse", [1, 3, 7, 64, COARSE_BINS])
@pytest.mark.parametrize("calibration_bins", [2, 10, 15])
def test_a_coarse_grid_is_a_part_of_a_finer_one(coarse, calibration_bins):
    few = score_edges(coarse, calibration_bins=calibration_bins)
    for times in (2, 3, 10):
        many = score_edges(coarse * times, calibration_bins=calibration_bins)
        assert set(few.tolist()) <= set(many.tolist())
        assert len(many) > len(few)


def by_comparison(score, calibration_bins):
    return max(k for k in range(calibration_bins) if k / calibration_bins <= score)


def found_bin(score, n_bins, calibration_bins):
    edges = GRIDS[n_bins, calibration_bins]
    score_bin = np.searchsorted(edges, score, side="left")
    assert score_bin == sum(edge < score for edge in edges.tolist())
    return calibration_bin(edges, calibration_bins)[score_bin]


@settings(max_examples=200)
@given(st.floats(0, 1), st.sampled_from(sorted(GRIDS)))
@example(0.0, (FINE_BINS, 10))
@example(1.0, (FINE_BINS, 10))
@example(UNDER_ONE, (FINE_BINS, 10))
@example(5e-324, (FINE_BINS, 10))
def test_scores_are_in_their_calibration_bin(score, grid):
    assert found_bin(score, *grid) == by_comparison(score, grid[1])


@pytest.mark.parametrize("grid", [(FINE_BINS, 10), (7, 15), (COARSE_BINS, 100)])
def test_scores_on_and_next_to_calibration_edges(grid):
    for k in range(1, grid[1]):
        edge = k / grid[1]
        assert found_bin(edge, *grid) == k
        assert found_bin(np.nextafter(edge, 1), *grid) == k
        assert found_bin(np.nextafter(edge, 0), *grid) == k - 1


def test_scores_that_multiplication_puts_a_bin_too_low():
    assert int(0.29 * 100) == 28
    assert found_bin(0.29, COARSE_BINS, 100) == 29
    traps = [k / 100 for k in range(100) if int(k / 100 * 100) != k]
    assert len(traps) > 1
    for score in traps:
        assert found_bin(score, COARSE_BINS, 100) == round(score * 100)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_calibration_bins_are_numbered_by_rising_score(grid):
    bins = calibration_bin(GRIDS[grid], grid[1])
    assert len(bins) == len(GRIDS[grid]) + 1
    assert set(bins.tolist()) == set(range(grid[1]))
    assert set(np.diff(bins).tolist()) <= {0, 1}


def test_calibration_bins_refuse_score_bins_that_reach_across():
    edges = score_edges(calibration_bins=4)
    with pytest.raises(ValueError, match=r"reach across \[0\.1, 0\.2, .*, 0\.9\]"):
        calibration_bin(edges, 10)
    assert calibration_bin(edges, 2).max() == 1


@pytest.mark.parametrize("n_bins", [0, -1])
def test_numbers_of_bins_must_be_positive(n_bins):
    with pytest.raises(ValueError, match="n_bins must be at least 1, got"):
        score_edges(n_bins)
    with pytest.raises(ValueError, match="calibration_bins must be at least 1, got"):
        score_edges(calibration_bins=n_bins)
    with pytest.raises(ValueError, match="calibration_bins must be at least 1, got"):
        calibration_bin(score_edges(), n_bins)


def test_logit_bins_keep_the_auc_of_rare_events():
    rng = np.random.default_rng(0)
    scores = rng.beta(0.5, 499.5, 1_000_000)  # mean 0.001
    labels = rng.random(len(scores)) < scores
    exact = roc_auc_score(labels, scores)
    assert exact == pytest.approx(0.82, abs=0.01)

    def binned(edges):
        return roc_auc_score(labels, np.searchsorted(edges, scores, side="left"))

    assert abs(binned(score_edges(FINE_BINS)) - exact) < 2e-4
    assert abs(binned(score_edges(COARSE_BINS)) - exact) < 1e-3
    assert binned(np.linspace(0, 1, FINE_BINS + 1)) < exact - 0.02


def test_grids_have_about_as_many_bins_as_asked_for():
    for n_bins, calibration_bins in itertools.product((COARSE_BINS, FINE_BINS), (2, 10, 15)):
        edges = GRIDS.get((n_bins, calibration_bins))
        if edges is not None:
            assert n_bins < len(edges) <= n_bins + calibration_bins + 2
