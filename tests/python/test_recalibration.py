import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

import recalibration
from recalibration_tables import PLAN, plan_table

SETTINGS = {"calibration_bins": 10, "min_samples": 50, "min_samples_per_class": 10}
UNIT = 2.0**-30
BINS = st.lists(
    st.tuples(st.integers(0, 1000), st.integers(0, 30), st.integers(0, 30)).filter(
        lambda b: b[1] + b[2]
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda b: b[0],
).map(lambda bins: [(thousandths / 1000, *counts) for thousandths, *counts in sorted(bins)])


def arrays(bins):
    return tuple(np.array(column) for column in zip(*bins, strict=True))


def predictions(scores, negatives, positives):
    """Scores and labels one by one."""
    scores = np.concatenate([np.repeat(scores, negatives), np.repeat(scores, positives)])
    return scores, np.repeat([0, 1], [negatives.sum(), positives.sum()])


def random_bins(rng, n_bins=40, n=3000, temperature=1.0, intercept=0.0):
    """Counts of a model of which logit(chance) = intercept + logit(score) / temperature."""
    scores = np.sort(rng.uniform(0.02, 0.98, n_bins))
    counts = rng.multinomial(n, np.full(n_bins, 1 / n_bins))
    positives = rng.binomial(counts, expit(intercept + logit(scores) / temperature))
    filled = counts > 0
    return scores[filled], (counts - positives)[filled], positives[filled]


@pytest.mark.parametrize("seed", range(10))
def test_temperature_has_the_least_log_loss(seed):
    rng = np.random.default_rng(seed)
    bins = random_bins(rng, temperature=rng.uniform(0.3, 4))
    scores, labels = predictions(*bins)
    oracle = minimize_scalar(
        lambda t: log_loss(labels, expit(logit(scores) / t)),
        bounds=(0.05, 20),
        method="bounded",
        options={"xatol": 1e-9},
    )
    found = recalibration.fit("temperature", *bins)
    assert found["temperature"] == pytest.approx(oracle.x, rel=1e-5)


def test_platt_is_logistic_regression():
    bins = random_bins(np.random.default_rng(1), temperature=2, intercept=0.4)
    scores, labels = predictions(*bins)
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        logit(scores)[:, None], labels
    )
    assert recalibration.fit("platt", *bins) == {
        "slope": pytest.approx(oracle.coef_[0, 0], rel=1e-4),
        "intercept": pytest.approx(oracle.intercept_[0], abs=1e-4),
    }


def pooled(values, weights):
    """Rising weighted least squares: pool neighbours while one falls below the one before."""
    blocks = []
    for value, weight in zip(values, weights, strict=True):
        blocks.append([value, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (a, wa, na), (b, wb, nb) = blocks[-2:]
            blocks[-2:] = [[(a * wa + b * wb) / (wa + wb), wa + wb, na + nb]]
    return [value for value, _, n in blocks for _ in range(n)]


@given(BINS)
def test_isotonic_pools_what_falls(bins):
    scores, negatives, positives = arrays(bins)
    found = recalibration.fit("isotonic", scores, negatives, positives)
    if not (negatives.sum() and positives.sum()):
        assert found is None
        return
    count = negatives + positives
    mapped = recalibration.apply("isotonic", found, scores)
    np.testing.assert_allclose(mapped, pooled(positives / count, count), atol=1e-9)


@given(BINS, st.sampled_from(recalibration.METHODS))
def test_maps_keep_the_order_and_stay_probabilities(bins, method):
    """Also of scores of exactly 0 and 1, separated classes and rankings the wrong way round."""
    found = recalibration.fit(method, *arrays(bins))
    if found is None:
        return
    assert np.isfinite(np.hstack(list(found.values()))).all()
    mapped = recalibration.apply(method, found, np.linspace(0, 1, 101))
    assert ((mapped >= 0) & (mapped <= 1)).all()
    assert (np.diff(mapped) >= -1e-12).all()


@pytest.mark.parametrize(
    ("negatives", "positives", "missing"),
    [
        ([5, 5], [0, 0], {"temperature", "platt", "isotonic"}),
        ([9, 0], [0, 9], {"temperature", "platt"}),  # separated
        ([2, 9], [9, 2], {"temperature", "platt"}),  # the wrong way round
        ([9, 2], [2, 9], set()),
    ],
)
def test_maps_that_do_not_exist(negatives, positives, missing):
    bins = np.array([0.2, 0.8]), np.array(negatives), np.array(positives)
    assert {m for m in recalibration.METHODS if recalibration.fit(m, *bins) is None} == missing


def test_a_method_is_known():
    with pytest.raises(ValueError, match="got guess"):
        recalibration.fit("guess", np.array([0.5]), np.array([1]), np.array([1]))


@pytest.mark.parametrize(
    ("ece", "floor", "baseline", "expected"),
    [
        (0.10, 0.01, 0.05, True),
        (0.0999, 0.01, 0.05, False),  # not twice
        (0.03, 0.001, 0.0125, False),  # twice, yet a rise of 0.0175
        (0.031, 0.001, 0.01, True),
        (0.10, 0.09, 0.01, False),  # chance explains it
        (np.nan, 0.01, 0.01, False),
        (0.10, 0.01, np.nan, False),
    ],
)
def test_what_doubled_means(ece, floor, baseline, expected):
    assert recalibration.has_doubled(ece, floor, baseline) is expected


def as_rows(part, scores, negatives, positives, version="v1"):
    count = negatives + positives
    return [
        {
            "model_name": "m",
            "model_version": version,
            "role": "live",
            "part": part,
            "score_bin": number,
            "negatives": int(negatives[number]),
            "positives": int(positives[number]),
            "score_sum": round(scores[number] * count[number] / UNIT),
            "variance_sum": round(scores[number] * (1 - scores[number]) * count[number] / UNIT),
        }
        for number in range(len(scores))
    ]


def plan(*parts):
    table = plan_table(pa.Table.from_pylist([row for part in parts for row in part]), SETTINGS)
    assert table.schema == PLAN
    return {row["method"]: row for row in table.to_pylist()}


@pytest.mark.parametrize(
    ("change", "recommended"),
    [
        ({}, {None}),
        ({"temperature": 2.5}, {"temperature", "platt", "isotonic"}),
        ({"intercept": 1.0}, {"platt", "isotonic"}),
    ],
)
def test_what_is_recommended(change, recommended):
    rng = np.random.default_rng(6)
    judged = random_bins(rng, n=20000, **change)
    found = plan(
        as_rows("baseline", *random_bins(rng, n=20000)),
        as_rows("fit", *random_bins(rng, n=40000, **change)),
        as_rows("judged", *judged),
    )
    chosen = [name for name, row in found.items() if row["is_recommended"]]
    assert len(chosen) <= 1
    assert (chosen or [None])[0] in recommended
    scores, labels = predictions(*judged)
    for method, row in found.items():
        assert row["data_status"] == "ok"
        assert row["is_needed"] == bool(change)
        assert row["brier_score"] == pytest.approx(brier_score_loss(labels, scores), abs=1e-8)
        mapped = recalibration.apply(method, json.loads(row["parameters"]), scores)
        assert row["recalibrated_brier_score"] == pytest.approx(
            brier_score_loss(labels, mapped), abs=1e-8
        )
        bins = np.minimum(np.floor(mapped * 10), 9)
        ece = sum(abs(labels[bins == k].sum() - mapped[bins == k].sum()) for k in range(10)) / len(
            labels
        )
        assert row["recalibrated_ece"] == pytest.approx(ece, abs=1e-6)
        if row["is_recommended"]:
            assert row["recalibrated_ece"] < row["ece"] / 2


def constant(n_negative, n_positive):
    return np.array([0.3]), np.array([n_negative]), np.array([n_positive])


@pytest.mark.parametrize(
    ("fitted", "judged", "baseline", "status"),
    [
        (constant(90, 90), constant(0, 0), constant(90, 90), "no_data"),
        (constant(90, 90), constant(90, 90), constant(20, 20), "no_baseline"),
        (constant(20, 20), constant(90, 90), constant(90, 90), "insufficient_data"),
        (constant(90, 90), constant(20, 20), constant(90, 90), "insufficient_data"),
        (constant(90, 0), constant(90, 90), constant(90, 90), "single_class"),
        (constant(90, 9), constant(90, 90), constant(90, 90), "insufficient_data"),
    ],
)
def test_what_is_unknown_has_a_reason(fitted, judged, baseline, status):
    parts = {"fit": fitted, "judged": judged, "baseline": baseline}
    found = plan(*(as_rows(name, *bins) for name, bins in parts.items() if sum(bins[1:]).sum()))
    for row in found.values():
        assert row["data_status"] == status
        assert not row["is_recommended"]
        assert row["is_needed"] is None
        assert row["recalibrated_ece"] is row["parameters"] is None


def test_one_score_has_no_line_but_a_level():
    parts = (as_rows(name, *constant(90, 90)) for name in ("fit", "judged", "baseline"))
    found = plan(*parts)
    assert {name: row["data_status"] for name, row in found.items()} == {
        "temperature": "not_estimable",
        "platt": "not_estimable",
        "isotonic": "ok",
    }


def test_nothing_to_plan():
    assert plan_table(pa.Table.from_pylist([]), SETTINGS).num_rows == 0
