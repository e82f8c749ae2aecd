"""Pure functions of feature integrity: known conversions, stuck bins, nasty shapes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import integrity

RNG = np.random.default_rng(7)
VALUES = np.quantile(RNG.normal(50, 12, 5000), integrity.PROBABILITIES)
SPAN = VALUES[-1] - VALUES[0]


def one(current, reference=VALUES, span=SPAN):
    return integrity.unit_changes(np.atleast_2d(current), np.atleast_2d(reference), span)


@pytest.mark.parametrize("conversion", integrity.CONVERSIONS, ids=lambda c: c.name)
def test_a_known_conversion_is_found(conversion):
    found = one(conversion.offset + conversion.factor * VALUES)
    assert found.is_flagged.tolist() == [True]
    assert found.factor[0] == pytest.approx(conversion.factor, rel=0.02)
    assert found.offset[0] == pytest.approx(conversion.offset)
    assert found.residual[0] == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("current", [VALUES, VALUES + 3, VALUES * 1.05, VALUES[::1] * 0.9])
def test_small_shifts_are_no_other_unit(current):
    found = one(current)
    assert not found.is_flagged.any()
    assert np.isnan(found.factor).all() and np.isnan(found.residual).all()


def test_another_shape_is_no_other_unit():
    exponential = np.quantile(RNG.exponential(50, 5000), integrity.PROBABILITIES)
    assert not one(exponential).is_flagged.any()


def test_an_unknown_factor_is_found_without_a_name():
    found = one(VALUES * 7)
    assert found.is_flagged.all() and found.names == [""]
    assert found.factor[0] == pytest.approx(7)


@pytest.mark.parametrize("span", [0.0, np.nan, np.inf, -1.0])
def test_without_a_span_nothing_is_found(span):
    assert not one(VALUES * 25.4, span=span).is_flagged.any()


def test_undefined_and_constant_quantiles_are_not_flagged():
    for current in (np.full(19, np.nan), np.zeros(19), np.full(19, 3.0), np.full(19, 1e308)):
        assert not one(current).is_flagged.any()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(2, 40))
def test_quantiles_of_bins_are_within_a_bin_of_exact_ones(values, n_edges):
    values = np.sort(values)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, n_edges)))
    counts = np.bincount(np.searchsorted(edges, values, "left"), minlength=len(edges) + 1)
    found = integrity.bin_quantiles(counts[None], edges, values[:1], values[-1:])[0]
    assert (np.diff(found) >= -1e-6).all()
    ends = np.concatenate([values[:1], edges, values[-1:]])
    for probability, quantile in zip(integrity.PROBABILITIES, found, strict=True):
        # The bins of the neighbours of the exact quantile: at a border either side is right.
        low = np.searchsorted(edges, values[max(int(probability * len(values)) - 1, 0)], "left")
        rank = min(int(probability * len(values)) + 1, len(values) - 1)
        high = np.searchsorted(edges, values[rank], "left")
        assert ends[low] - 1e-6 <= quantile <= ends[high + 1] + 1e-6


def test_quantiles_of_nothing_are_undefined():
    counts = np.zeros((2, 3), int)
    counts[1] = 1
    found = integrity.bin_quantiles(counts, np.array([0.0, 1.0]), [0.0, np.nan], [1.0, np.nan])
    assert np.isnan(found).all()


def test_stuck_shares():
    counts = np.array([[0, 9, 1, 0], [10, 0, 0, 0], [10, 0, 0, 0], [0, 0, 0, 0]])
    low, high = np.array([1.0, -5, -9, np.nan]), np.array([2.0, -5, -5, np.nan])
    # An outer bin counts only where all values are one.
    found = integrity.stuck_shares(counts, low, high)
    assert found[:3].tolist() == [0.9, 1.0, 0.0] and np.isnan(found[3])
    assert integrity.stuck_shares(counts)[:3].tolist() == [0.9, 1.0, 1.0]


def test_peers_leave_the_value_itself_out():
    quantiles = np.array([VALUES, VALUES + 1, VALUES * 25.4])
    reference, spread = integrity.peers(quantiles)
    assert reference[2] == pytest.approx(VALUES + 0.5)
    assert spread[2] == pytest.approx(0.5) and spread[0] > 100
    assert np.isnan(integrity.peers(quantiles[:2])[0]).all()


def test_beyond_the_baseline_bins_keep_no_shape():
    """So the quantiles of such days come from a sample (see integrity_tables.MOST_BEYOND)."""
    values = np.sort(RNG.normal(50, 12, 5000))
    edges = np.quantile(values, np.linspace(0, 1, 200))
    inches = values * 25.4
    counts = np.bincount(np.searchsorted(edges, inches, "left"), minlength=len(edges) + 1)
    found = integrity.bin_quantiles(counts[None], edges, inches[:1], inches[-1:])
    assert not one(found).is_flagged.any()
    sample = np.quantile(RNG.choice(inches, 300), integrity.PROBABILITIES)
    assert one(sample[None]).is_flagged.all()
