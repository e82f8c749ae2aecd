"""Samples of samples: each prediction of a window is as likely as any other."""

import numpy as np
import pyarrow as pa
import pytest

from domain_classifier import Separation
from multivariate_tables import (
    DAILY_SAMPLE_SIZE,
    SAMPLE_SIZE,
    Sample,
    level,
    own_windows_q95,
)

FEATURES = [{"name": "age", "type": "numerical"}, {"name": "plan", "type": "categorical"}]


def sample_of(days: dict[int, int], seed: int = 0) -> Sample:
    """Give what is kept of so many predictions of each day."""
    generator = np.random.default_rng(seed)
    rows = []
    for day, count in days.items():
        hashes = np.sort(generator.integers(0, 2**64, count, dtype=np.uint64))
        rows += [(int(value), day) for value in hashes[:DAILY_SAMPLE_SIZE]]
    rows.sort()
    table = pa.table(
        {
            "request_hash": pa.array([value for value, _ in rows], pa.uint64()),
            "event_date": pa.array([day for _, day in rows], pa.int32()).cast(pa.date32()),
            "model_version": pa.array(["v1"] * len(rows)),
            "role": pa.array(["live"] * len(rows)),
            "feature_bins": pa.array(
                generator.integers(0, 50, (len(rows), 2)).tolist(), pa.list_(pa.int16())
            ),
            "features": pa.array([FEATURES] * len(rows)),
        }
    )
    return Sample.of(table, FEATURES)


@pytest.mark.parametrize("counts", [(100, 5000, 900), (10, 20, 30), (4000, 4000, 4000)])
def test_each_prediction_is_as_likely(counts):
    taken = np.zeros(len(counts))
    for seed in range(40):
        sample = sample_of(dict(enumerate(counts)), seed).uniform(SAMPLE_SIZE)
        assert len(sample.day) <= SAMPLE_SIZE
        taken += np.bincount(sample.day, minlength=len(counts))
    shares = taken / taken.sum()
    np.testing.assert_allclose(shares, np.array(counts) / sum(counts), atol=0.02)
    if sum(counts) < 100:
        assert taken.sum() == 40 * sum(counts)


def test_own_windows():
    settings = {"min_samples": 50}
    category = np.zeros(2, bool)
    alike = sample_of(dict.fromkeys(range(35), 40), 1)
    quantile = own_windows_q95(alike, 7, category, settings)
    assert 0.45 < quantile < 0.62
    assert np.isnan(own_windows_q95(alike.within(0, 21), 7, category, settings))
    assert np.isnan(own_windows_q95(alike.within(0, 0), 7, category, settings))


@pytest.mark.parametrize(
    ("auc", "lower", "pvalue", "own", "expected"),
    [
        (0.65, 0.62, 0.01, 0.55, "moderate"),
        (0.75, 0.72, 0.01, 0.55, "significant"),
        (0.75, 0.72, 0.01, np.nan, "significant"),
        (0.75, 0.72, 0.01, 0.73, "none"),
        (0.75, 0.45, 0.06, 0.4, "none"),
        (0.59, 0.57, 0.001, 0.52, "none"),
    ],
)
def test_level(auc, lower, pvalue, own, expected):
    assert level(Separation(auc, lower, 1.0, pvalue, np.zeros(1)), own) == expected


def test_no_classifier_no_level():
    assert level(None, 0.5) is None
