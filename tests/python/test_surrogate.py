"""The surrogate: what it depends on is what the scores were made of."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import PredefinedSplit

import surrogate_tables
from domain_classifier import FOLDS
from surrogate import LEAST_R2, TREES, surrogate

ROWS = 1500


def fit(values, score, is_category=None):
    """Fit to rows whose order says nothing."""
    if is_category is None:
        is_category = np.zeros(values.shape[1], bool)
    return surrogate(values, score, is_category, np.arange(len(score)) % FOLDS)


@pytest.mark.parametrize("seed", range(3))
def test_importances_of_a_known_function(seed):
    """In the order of the variance that each feature brings, and about 0 for what is unused."""
    values = np.random.default_rng(seed).normal(size=(ROWS, 4))
    found = fit(values, 3 * values[:, 2] + values[:, 0])
    assert found.r2 > 0.9
    assert list(np.argsort(-found.importance)[:2]) == [2, 0]
    # Twice the share of the variance: 9 and 1 of 10.
    assert found.importance[2] == pytest.approx(1.8, abs=0.25)
    assert found.importance[0] == pytest.approx(0.2, abs=0.06)
    assert max(found.importance[[1, 3]]) < 0.005


def test_interactions_and_categories():
    """A product has no effect of either factor alone; codes of categories have no order."""
    generator = np.random.default_rng(4)
    sign = generator.choice([-1.0, 1.0], (2, ROWS))
    code = generator.integers(0, 300, ROWS).astype(float)
    values = np.stack([sign[0], sign[1], code, generator.normal(size=ROWS)], axis=1)
    values[::7, 3] = np.nan
    found = fit(values, sign[0] * sign[1] + (code % 2), np.array([False, False, True, False]))
    assert found.r2 > 0.6
    assert min(found.importance[:2]) > 10 * found.importance[3]


def test_oracle():
    """R2 as scikit-learn has it, of predictions for rows that were left out."""
    generator = np.random.default_rng(5)
    values = generator.normal(size=(300, 3))
    score = values[:, 0] + generator.normal(size=300)
    predicted = np.zeros(300)
    for fitted, unseen in PredefinedSplit(np.arange(300) % FOLDS).split():
        model = HistGradientBoostingRegressor(
            **TREES, categorical_features=np.zeros(3, bool), random_state=0
        )
        predicted[unseen] = model.fit(values[fitted], score[fitted]).predict(values[unseen])
    assert fit(values, score).r2 == pytest.approx(r2_score(score, predicted), abs=1e-12)


def test_noise_is_not_trusted():
    """Scores that no feature explains, or that are all alike, have no importances to trust."""
    generator = np.random.default_rng(6)
    values = generator.normal(size=(ROWS, 3))
    noise = fit(values, generator.normal(size=ROWS))
    assert noise.r2 < LEAST_R2
    assert not noise.is_trusted
    constant = fit(values, np.full(ROWS, 0.5))
    assert (constant.r2, constant.importance.tolist(), constant.is_trusted) == (0, [0, 0, 0], False)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(6, 60), st.floats(0, 1))
def test_never_crashes(seed, count, missing):
    """Few rows, missing values, whole columns of them: finite, not negative, and the same again."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(count, 3))
    values[generator.random(values.shape) < missing] = np.nan
    values[:, 1] = np.abs(np.round(values[:, 1]))
    score = generator.normal(size=count)
    is_category = np.array([False, True, False])
    found = fit(values, score, is_category)
    assert np.isfinite([found.r2, *found.importance]).all()
    assert (found.importance >= 0).all()
    again = fit(values, score, is_category)
    assert (again.r2, again.importance.tolist()) == (found.r2, found.importance.tolist())


@pytest.mark.parametrize(("shape", "word"), [((5, 2), "rows"), ((30, 0), "features")])
def test_too_little_is_refused(shape, word):
    """Fewer than two rows in a fold, or no features."""
    with pytest.raises(ValueError, match=word):
        fit(np.zeros(shape), np.zeros(shape[0]))


def samples(score_of, *, version="v1", rows=600):
    """Rows of int_feature_samples with features `used` and `unused`."""
    generator = np.random.default_rng(7)
    bins = generator.integers(0, 200, (rows, 2))
    names = [{"name": name, "type": "numerical"} for name in ("unused", "used")]
    return pa.table(
        {
            "model_name": ["churn"] * rows,
            "model_version": [version] * rows,
            "role": ["live"] * rows,
            "event_date": pa.array(np.arange(rows) % 30 + 19_700, pa.int32()).cast(pa.date32()),
            "request_hash": pa.array(np.arange(rows), pa.uint64()),
            "feature_bins": pa.array(bins.tolist(), pa.list_(pa.int16())),
            "features": [names] * rows,
            "score_bin": pa.array(score_of(bins), pa.int16()),
        }
    )


def test_table():
    """A version that can be explained, one that cannot, and one with too few scores."""
    table = pa.concat_tables(
        [
            samples(lambda bins: bins[:, 1]),
            samples(lambda bins: np.arange(len(bins)) * 7919 % 199, version="v2"),
            samples(lambda bins: [None] * len(bins), version="v3"),
            samples(lambda bins: bins[:, 1], version="v4", rows=20),
        ]
    )
    found = surrogate_tables.importances_table(table, {}, 50).to_pylist()
    rows = {(row["model_version"], row["feature"]): row for row in found}
    assert set(rows) == {(v, name) for v in ("v1", "v2", "v4") for name in ("used", "unused")}
    assert rows["v1", "used"]["weight"] == 1
    assert rows["v1", "unused"]["weight"] < 0.01
    assert rows["v1", "used"]["surrogate_r2"] > 0.9
    for version, status in (("v2", "not_estimable"), ("v4", "insufficient_data")):
        row = rows[version, "used"]
        assert (row["data_status"], row["importance"], row["weight"]) == (status, None, None)
    assert rows["v2", "used"]["surrogate_r2"] < LEAST_R2


def test_given_importances():
    """What is given is taken as it is, and nothing is fitted."""
    given_values = {("churn", "used"): 4.0, ("churn", "unused"): 1.0}
    found = surrogate_tables.importances_table(samples(lambda bins: bins[:, 0]), given_values, 50)
    rows = {row["feature"]: row for row in found.to_pylist()}
    assert [rows["used"][name] for name in ("importance", "weight")] == [4, 1]
    assert [rows["unused"][name] for name in ("importance", "weight")] == [1, 0.25]
    assert {row["importance_source"] for row in rows.values()} == {"given"}
    assert rows["used"]["surrogate_r2"] is None
    zero = surrogate_tables.importances_table(
        samples(lambda bins: bins[:, 0]), dict.fromkeys(given_values, 0.0), 50
    )
    assert {row["weight"] for row in zero.to_pylist()} == {0}
