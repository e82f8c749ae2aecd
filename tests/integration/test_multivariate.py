"""The domain classifier on a warehouse, against scikit-learn on the landing records."""

import random
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from tests.integration.warehouse import DEPLOYMENT, TARGET, Warehouse, event

START = datetime(2024, 1, 1)  # a Monday
FEATURES = [
    {"name": "age", "type": "numerical"},
    {"name": "income", "type": "numerical"},
    {"name": "plan", "type": "categorical"},
]


def traffic(rng: random.Random, first: int, days: int, is_linked: bool, **fields) -> list[dict]:
    """Thirty predictions a day, of which age and income go together or do not."""
    events = []
    for number in range(30 * days):
        ts = START + timedelta(days=first + number / 30, seconds=rng.random() * 60)
        age, noise = rng.gauss(0, 1), rng.gauss(0, 1)
        features = {
            "age": 40 + 10 * age if rng.random() < 0.95 else None,
            "income": 100 + 20 * (0.9 * age + 0.44 * noise if is_linked else noise),
            "plan": rng.choice(["basic", "pro", "pro", None]),
        }
        events.append(
            event(f"{first}-{number}", ts=ts.isoformat() + "Z", features=features, **fields)
        )
    return events


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> tuple[Warehouse, pd.DataFrame]:
    """Five weeks of a baseline, one alike, and one in which two features go together."""
    rng = random.Random(7)
    weeks = [
        *traffic(rng, 0, 42, False),
        *traffic(rng, 42, 7, True),
        # Too few to tell, errors, and a model without features.
        *traffic(rng, 46, 1, True, role="shadow", model_version="v2"),
        *traffic(rng, 44, 2, True, status=500),
        *traffic(rng, 44, 2, True, model="plain"),
    ]
    model = {
        "name": "churn",
        "task": "binary_classification",
        "baseline": {"start": "2024-01-01", "end": "2024-02-05"},
        "features": FEATURES,
    }
    warehouse = Warehouse(
        tmp_path_factory.mktemp("multivariate"),
        {
            "monitored_models": [
                model,
                {"name": "plain", "task": "regression", "features": []},
            ],
            "drift_windows_days": [1, 7],
            "as_of": "2024-02-19",
        },
    )
    target = {"slo_name": "together", "metric": "domain_classifier_auc", "window_size": "7d"}
    target |= {"objective": "0.6", "budget_objective": "", "max_age_hours": "24"}
    warehouse.own("slo_targets", TARGET, [target])
    warehouse.own("deployments", DEPLOYMENT, [{}])
    warehouse.write("inference_events/a.jsonl", weeks)
    build = warehouse.build()
    assert "Failure in test slo_page" in build.end
    assert "ERROR=1 SKIP=0" in build.end, build.end
    return warehouse, pd.DataFrame(weeks)


def windows(warehouse, **where) -> list[dict]:
    table = warehouse.frame("select * from ml_monitoring.multivariate_drift order by window_end")
    for name, value in where.items():
        table = table[table[name] == value]
    return table.astype(object).where(table.notna(), None).to_dict("records")


def test_a_changed_correlation_is_found(case):
    warehouse, _ = case
    rows = windows(warehouse, role="live", model_name="churn")
    assert [row["window_end"] for row in rows] == [
        START + timedelta(days=7 * week) for week in range(1, 8)
    ]
    *alike, linked = rows
    assert {row["drift_level"] for row in alike} == {"none"}
    assert all(row["domain_classifier_auc"] < 0.6 for row in alike)
    assert linked["drift_level"] == "significant"
    assert linked["pvalue"] < 1e-6
    assert (linked["baseline_count"], linked["current_count"]) == (1000, 210)
    assert 0.4 < linked["auc_own_windows_q95"] < 0.65
    ranked = warehouse.query(
        "select feature from ml_monitoring.multivariate_drift_features"
        " where window_end = '2024-02-19' order by importance_rank"
    )
    assert {ranked[0][0], ranked[1][0]} == {"age", "income"}
    # No single feature shows it.
    levels = warehouse.query(
        "select distinct drift_level from ml_monitoring.feature_drift where window_size = '7d'"
        " and window_end = '2024-02-19' and comparison = 'baseline' and data_status = 'ok'"
        " and feature <> 'score'"
    )
    assert levels == [("none",)]


def test_another_classifier_on_the_records_agrees(case):
    """A random forest on all raw values, with scikit-learn's own cross-validation."""
    warehouse, events = case
    is_ours = (events["model"] == "churn") & (events["role"].isna() if "role" in events else True)
    events = events[is_ours & (events["status"] < 400)]
    values = pd.DataFrame(list(events["features"]))
    values["plan"] = values["plan"].map({"basic": 0, "pro": 1}).fillna(-1)
    values = values.fillna(-999).to_numpy(float)
    ts = pd.to_datetime(events["ts"]).dt.tz_localize(None).to_numpy()
    for row in windows(warehouse, role="live", model_name="churn")[5:]:
        is_current = (ts >= row["window_start"].to_datetime64()) & (
            ts < row["window_end"].to_datetime64()
        )
        chosen = is_current | (ts < np.datetime64("2024-02-05"))
        forest = RandomForestClassifier(200, min_samples_leaf=10, random_state=0)
        scores = cross_val_predict(
            forest, values[chosen], is_current[chosen], cv=5, method="predict_proba"
        )[:, 1]
        expected = roc_auc_score(is_current[chosen], scores)
        assert row["domain_classifier_auc"] == pytest.approx(expected, abs=0.08)


def test_what_cannot_be_told_has_a_reason(case):
    warehouse, _ = case
    (few,) = windows(warehouse, role="shadow")
    assert (few["data_status"], few["domain_classifier_auc"]) == ("insufficient_data", None)
    assert few["current_count"] == 30
    plain = windows(warehouse, model_name="plain")
    assert {row["data_status"] for row in plain} == {"not_applicable"}
    assert {row["drift_level"] for row in plain} == {None}


def test_as_a_metric(case):
    warehouse, _ = case
    ((value, lower, upper),) = warehouse.query(
        "select value, value_lower, value_upper from ml_monitoring.monitoring_metrics"
        " where metric = 'domain_classifier_auc' and window_end = '2024-02-19'"
        " and model_name = 'churn' and role = 'live'"
    )
    assert lower < value < upper
    assert warehouse.query(
        "select slo_name, is_breached, sli_value from ml_monitoring.slo_status"
    ) == [("together", True, value)]


def test_other_features_and_back(case):
    """A feature that came after the baseline was frozen takes no part; nothing else moves."""
    warehouse, _ = case
    query = (
        "select * from ml_monitoring.multivariate_drift order by all",
        "select * from ml_monitoring.multivariate_drift_features order by all",
    )
    before = [warehouse.query(text) for text in query]
    with_more = {
        "monitored_models": [
            dict(
                warehouse.vars["monitored_models"][0],
                features=[{"name": "country", "type": "categorical"}, *FEATURES],
            ),
            warehouse.vars["monitored_models"][1],
        ]
    }
    select = ("run", "--select", "+multivariate_drift", "+multivariate_drift_features")
    assert warehouse.dbt(*select, **with_more).exit_code == 0
    assert [warehouse.query(text) for text in query] == before
    off = warehouse.dbt(*select, multivariate_drift=False)
    assert off.exit_code == 0, off.end
    assert [warehouse.query(text) for text in query] == [[], []]
    assert warehouse.dbt(*select).exit_code == 0
    assert [warehouse.query(text) for text in query] == before
