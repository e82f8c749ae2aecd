import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency import GROWTH, RELATIVE_ERROR, ZERO_BIN, bin_values, histogram_quantiles
from service_windows import Histograms, Summaries, rolling_max, rolling_service_levels
from windows import consecutive_runs, window_entries, window_maxima, window_sums


@given(
    st.lists(
        st.tuples(st.integers(-5, 15), st.integers(-5, 15), st.integers(0, 2), st.integers(-9, 9)),
        max_size=30,
    ),
    st.integers(1, 12),
)
def test_window_sums_equal_a_loop(entries, n_windows):
    expected = np.zeros((n_windows, 3), int)
    for first, last, column, weight in entries:
        for window in range(n_windows):
            if first <= window <= last:
                expected[window, column] += weight
    columns = np.array(entries, int).reshape(-1, 4).T
    found = window_sums(*columns, n_windows=n_windows, n_columns=3)
    np.testing.assert_array_equal(found, expected)


@given(
    st.lists(
        st.tuples(
            st.integers(-5, 15),
            st.integers(-5, 15),
            st.integers(0, 2),
            st.floats(-9, 9, allow_nan=False),
        ),
        max_size=30,
    ),
    st.integers(1, 12),
)
def test_window_maxima_equal_a_loop(entries, n_windows):
    expected = np.full((n_windows, 3), np.nan)
    for first, last, column, value in entries:
        for window in range(n_windows):
            if first <= window <= last:
                expected[window, column] = np.fmax(expected[window, column], value)
    first, last, column, value = np.array(entries, float).reshape(-1, 4).T
    found = window_maxima(
        *(part.astype(int) for part in (first, last, column)),
        value,
        n_windows=n_windows,
        n_columns=3,
    )
    np.testing.assert_array_equal(found, expected)


@given(
    st.lists(st.tuples(st.integers(-5, 15), st.integers(-5, 15)), max_size=30), st.integers(1, 12)
)
def test_window_entries_equal_a_loop(entries, n_windows):
    expected = [
        (window, place)
        for window in range(n_windows)
        for place, (first, last) in enumerate(entries)
        if first <= window <= last
    ]
    first, last = np.array(entries, int).reshape(-1, 2).T
    window, entry = window_entries(first, last, n_windows=n_windows)
    assert list(zip(window.tolist(), entry.tolist(), strict=True)) == expected


def test_window_maxima_leave_their_input_as_it_is():
    parts = np.array([-2, 0, 3]), np.array([1, 9, 2]), np.array([0, 0, 1]), np.array([-3.0, -4, 7])
    copies = [part.copy() for part in parts]
    found = window_maxima(*parts, n_windows=3, n_columns=2)
    # The first counts in windows 0 and 1, the second in all, the third ends before it begins.
    np.testing.assert_array_equal(found, [[-3, np.nan], [-3, np.nan], [-4, np.nan]])
    for part, copy in zip(parts, copies, strict=True):
        np.testing.assert_array_equal(part, copy)


@given(st.sets(st.integers(0, 40)), st.integers(1, 5))
def test_consecutive_runs_hold_each_bucket_once(buckets, longest):
    starts = np.array(sorted(buckets), int) * 10
    runs = consecutive_runs(starts, 10, longest)
    assert [start for run in runs for start in run] == starts.tolist()
    assert all(1 <= len(run) <= longest for run in runs)
    for left, right in itertools.pairwise(runs):
        assert left.stop < right.start or len(left) == longest


LATENCIES = st.floats(0, 1e9, allow_subnormal=False)


def to_bin(values):
    """Bins as the SQL macro latency_bin gives them."""
    values = np.asarray(values, float)
    with np.errstate(divide="ignore"):
        bins = np.maximum(np.ceil(np.log(values) / np.log(GROWTH)), ZERO_BIN + 1)
    return np.where(values <= 0.001, ZERO_BIN, bins).astype(int)


@given(st.lists(LATENCIES, min_size=1, max_size=50))
def test_bin_values_are_within_the_stated_error(latencies):
    values = bin_values(to_bin(latencies))
    for latency, value in zip(latencies, values, strict=True):
        assert abs(value - latency) <= max(RELATIVE_ERROR * latency * (1 + 1e-9), 0.00101)


@given(
    st.lists(st.lists(st.integers(0, 6), max_size=30), min_size=1, max_size=5),
    st.floats(0, 1),
)
def test_histogram_quantiles_equal_numpy_on_the_bin_values(samples, q):
    values = np.array([0.0, 0.5, 1.0, 2.0, 30.0, 31.0, 1e9])
    counts = np.array([np.bincount(sample, minlength=7) for sample in samples])
    found = histogram_quantiles(counts, values, np.array([q]))[:, 0]
    for sample, quantile in zip(samples, found, strict=True):
        if sample:
            np.testing.assert_allclose(quantile, np.quantile(values[sample], q), rtol=1e-9)
        else:
            assert np.isnan(quantile)


def test_histogram_quantiles_refuse_what_is_no_quantile():
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        histogram_quantiles(np.ones((1, 2), int), np.array([1.0, 2.0]), np.array([1.5]))
    with pytest.raises(ValueError, match="for values of"):
        histogram_quantiles(np.ones((1, 2), int), np.array([1.0]), np.array([0.5]))


@given(
    st.lists(st.tuples(st.integers(0, 20), st.one_of(st.just(np.nan), st.floats(-9, 9)))),
    st.integers(1, 8),
    st.integers(1, 12),
)
def test_rolling_max_equals_a_loop(entries, width, n_windows):
    steps = np.array([step for step, _ in entries], int)
    values = np.array([value for _, value in entries], float)
    found = rolling_max(steps, values, n_windows=n_windows, width=width)
    for window in range(n_windows):
        inside = values[(steps >= window) & (steps < window + width)]
        inside = inside[~np.isnan(inside)]
        assert found[window] == inside.max() if len(inside) else np.isnan(found[window])


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 15),
        st.booleans(),
        st.one_of(st.none(), st.floats(0, 1e6)),
        st.one_of(st.none(), st.floats(0, 1e3)),
    ),
    max_size=40,
)


@given(EVENTS, st.integers(1, 6), st.sets(st.integers(0, 15)))
def test_rolling_service_levels_equal_the_windows_events(events, width, unjudged):
    n_windows = 16 - width + 1
    steps = sorted({step for step, *_ in events})
    groups = [[event for event in events if event[0] == step] for step in steps]

    def histograms(position):
        rows = [
            (index, to_bin([event[position]])[0])
            for index, group in enumerate(groups)
            for event in group
            if event[position] is not None
        ]
        summary, bins = np.array(rows, int).reshape(-1, 2).T
        return Histograms(summary, bins, np.ones(len(bins), int))

    def sums(group):
        latencies = [latency for *_, latency, _ in group if latency is not None]
        total = sum(round(latency * 2**20) for latency in latencies)
        errors = sum(is_error for _, is_error, *_ in group)
        slow = sum(latency > 100 for latency in latencies)
        # Of some steps nobody has counted the slow ones.
        judged = [0, len(latencies)] if group[0][0] in unjudged else [slow, 0]
        counts = [len(group), errors, len(latencies), *judged]
        return [*counts, total % 2**32, total // 2**32]

    found = rolling_service_levels(
        Summaries(
            np.array(steps, int),
            np.array([sums(group) for group in groups], np.int64).reshape(-1, 7),
            np.array(
                [max([e[2] for e in g if e[2] is not None], default=np.nan) for g in groups], float
            ),
            histograms(2),
            histograms(3),
        ),
        n_windows=n_windows,
        width=width,
    )
    for window in range(n_windows):
        inside = [event for event in events if window <= event[0] < window + width]
        assert found["request_count"][window] == len(inside)
        assert found["error_count"][window] == sum(event[1] for event in inside)
        latencies = [event[2] for event in inside if event[2] is not None]
        assert found["latency_count"][window] == len(latencies)
        if any(event[0] in unjudged and event[2] is not None for event in inside):
            assert np.isnan(found["slow_count"][window])
        else:
            assert found["slow_count"][window] == sum(latency > 100 for latency in latencies)
        for position, kind in ((2, "latency"), (3, "inference_time")):
            values = [event[position] for event in inside if event[position] is not None]
            quantiles = {"p50": 0.5, "p95": 0.95}
            for name, q in quantiles.items():
                value = found[f"{kind}_{name}_ms"][window]
                if values:
                    np.testing.assert_allclose(
                        value, np.quantile(values, q), rtol=RELATIVE_ERROR + 1e-9, atol=0.00101
                    )
                else:
                    assert np.isnan(value)
            if kind == "latency" and values:
                assert found["latency_max_ms"][window] == max(values)
                np.testing.assert_allclose(
                    found["latency_mean_ms"][window], np.mean(values), rtol=1e-9, atol=1e-6
                )
            elif kind == "latency":
                assert np.isnan(found["latency_mean_ms"][window])
