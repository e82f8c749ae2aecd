"""Regressions and models of several classes against scikit-learn, from the landing files alone."""

import random
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics

from tests.integration import oracle
from tests.integration import statistics_oracle as truth
from tests.integration.oracle import SERIES
from tests.integration.warehouse import TARGET, Warehouse

AS_OF = datetime(2024, 3, 9, 6)
START = datetime(2024, 3, 1)
SIZES = [1, 3]
MIN_SAMPLES = 20
MODELS = [
    {
        "name": "price",
        "task": "regression",
        "baseline": {"start": "2024-03-01", "end": "2024-03-04"},
        "features": [{"name": "rooms", "type": "numerical"}],
        "slices": ["city"],
        "protected_attributes": ["city"],
    },
    {
        "name": "intent",
        "task": "multiclass_classification",
        "baseline": {"start": "2024-03-01", "end": "2024-03-04"},
        "features": [{"name": "words", "type": "numerical"}],
        "slices": ["city"],
        "protected_attributes": ["city"],
    },
]
REGRESSION = ("mae", "rmse", "mape", "r2", "mean_error")
AVERAGES = ("precision", "recall", "f1")
KEY = [*SERIES, "window_size", "window_end", "label_view"]


# --- The case ------------------------------------------------------------------------------------


def records(rng: random.Random, first_day: int, days: int) -> tuple[list, list]:
    """Events of both models and their labels: late, corrected, odd."""
    events, labels = [], []
    for number in range(170 * days):
        model = rng.choice(["price", "intent"])
        ts = START + timedelta(days=first_day, seconds=rng.uniform(0, 86400 * days))
        day = (ts - START).days
        request_id = f"{first_day}-{number}"
        event = {
            "request_id": request_id,
            "ts": ts.isoformat() + "Z",
            "model": model,
            # v2 comes after the baseline.
            "model_version": "v2" if day > 4 and rng.random() < 0.5 else "v1",
            "status": rng.choice([200] * 9 + [500]),
            "latency_ms": 5,
            "attributes": {"city": rng.choice(["Bonn", "Ulm", "Ulm", None])},
        }
        if model == "price":
            label = rng.choice([round(rng.gauss(300, 80), 1), 0.0, 250, -50.5])
            # All equal on one day, too large to be squared on another.
            label = {3: 100.1, 7: rng.choice([-1e200, 1e200])}.get(day, label)
            score = label * rng.uniform(0.8, 1.3) + rng.gauss(0, 5)
            event |= {"score": rng.choice([score, score, score, None]), "features": {"rooms": 3}}
            wrong = rng.gauss(0, 100)
        else:
            label = rng.choice(["greet", "ask", "ask", "buy", 1, 1.0, 2.5, "1"])
            seen = rng.choice(["greet", "ask", 1, "new" if day > 4 else "buy", 2.5, None])
            event |= {
                "score": rng.random(),
                "prediction": label if rng.random() < 0.6 else seen,
                "features": {"words": rng.randint(1, 9)},
            }
            wrong = "ask"
        events.append(event)
        hours = rng.choice([2, 20, 60, 150])
        at = [
            ts + timedelta(hours=rng.uniform(0.1, hours)) for _ in range(rng.choice([0, 1, 1, 2]))
        ]
        for place, moment in enumerate(sorted(at)):
            labels.append(
                {
                    "request_id": request_id,
                    "label": wrong if place == 0 and len(at) == 2 else label,
                    "labeled_at": moment.isoformat() + "Z",
                    "model": model,
                }
            )
    # What fits no regression.
    labels += [{**labels[n], "label": "dear", "model": "price"} for n in range(20)]
    return events, labels


def class_name(value) -> str | None:
    """Give the name of a class: 1, 1.0 and "1" are one."""
    if value is None or isinstance(value, str):
        return value
    return str(int(value)) if value == int(value) else str(value)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory) -> Warehouse:
    """Built in two steps, of which the second brings late events and labels of the first days."""
    folder = tmp_path_factory.mktemp("tasks")
    warehouse = Warehouse(
        folder,
        {
            "monitored_models": MODELS,
            "min_samples": MIN_SAMPLES,
            "performance_windows_days": SIZES,
            "drift_windows_days": SIZES,
            "as_of": "2024-03-05T06:00:00Z",
        },
    )
    changes = [
        {"slo_name": "errors of prices", "metric": "mean_error", "comparator": ">="},
        {"slo_name": "squares", "metric": "rmse", "on_missing": "breach", "window_size": "1d"},
        {"slo_name": "classes", "metric": "macro_f1", "model_name": "intent", "comparator": ">="},
    ]
    form = TARGET | {"model_name": "price", "window_size": "3d", "max_age_hours": "240"}
    form |= {"objective": "1", "budget_objective": ""}
    warehouse.own("slo_targets", form, changes)
    rng = random.Random(9)
    events, labels = records(rng, 0, 8)
    late = [event for event in events if rng.random() < 0.1]
    early = [event for event in events if event not in late]
    warehouse.write("inference_events/a.jsonl", [e for e in early if e["ts"] < "2024-03-05"])
    warehouse.write("labels/a.jsonl", [r for r in labels if r["labeled_at"] < "2024-03-05"])
    build_with_breaches(warehouse)
    warehouse.vars["as_of"] = AS_OF.isoformat() + "Z"
    warehouse.write("inference_events/b.jsonl", late)
    warehouse.write("inference_events/c.jsonl", [e for e in early if e["ts"] >= "2024-03-05"])
    warehouse.write("labels/b.jsonl", [r for r in labels if r["labeled_at"] >= "2024-03-05"])
    build_with_breaches(warehouse)
    return warehouse


def build_with_breaches(warehouse):
    """Build, with nothing but the targets broken."""
    build = warehouse.build()
    assert "Failure in test slo_page" in build.end, build.end
    assert "ERROR=1 SKIP=0" in build.end, build.end


@pytest.fixture(scope="module")
def groups(warehouse) -> dict[tuple, tuple[pd.DataFrame, str]]:
    """The labelled predictions of every row of model_performance, and what labels lack."""
    events, _ = oracle.read_events(warehouse.landing, AS_OF, lambda record: {"record": record})
    events = events[events["status"] < 400].reset_index(drop=True)
    record = list(events.pop("slices").str["record"])
    events["day"] = events["ts"].dt.floor("D")
    events["score"] = [oracle.number(r["score"]) for r in record]
    events["prediction"] = [class_name(r.get("prediction")) for r in record]
    events["slice city"] = [r["attributes"]["city"] or "(missing)" for r in record]
    labels = oracle.read_labels(warehouse.landing, AS_OF)
    found = {}
    for model in MODELS:
        name = model["name"]
        own = labels[labels["label_model"] == name].copy()
        if name == "price":
            own = own[own["label"].map(lambda label: not isinstance(label, str))]
        else:
            own["label"] = own["label"].map(class_name)
        own = own.sort_values(["labeled_at"], ignore_index=True)
        ours = events[events["model_name"] == name]
        for size, end, view, inside in truth.label_windows(ours, own, ["city"], SIZES, AS_OF):
            for key, part in inside.groupby(SERIES):
                labelled = part[part["label"].notna()]
                status = "ok"
                if labelled.empty:
                    status = "no_data"
                elif part["is_growing"].any() or len(labelled) < 0.5 * len(part):
                    status = "immature"
                found[(*key, size, end, view)] = labelled, status
    return found


def rows_of(warehouse, model) -> dict[tuple, dict]:
    table = warehouse.frame(
        f"select * from ml_monitoring.model_performance where model_name = '{model}'"
    )
    table = table.astype(object).where(table.notna(), None)
    return {tuple(row[name] for name in KEY): row for row in table.to_dict("records")}


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    reach = stats.norm.ppf(0.975) * np.std(values, ddof=1) / np.sqrt(len(values))
    return np.mean(values) - reach, np.mean(values) + reach


# --- Performance ---------------------------------------------------------------------------------


def test_regression(warehouse, groups):
    rows = rows_of(warehouse, "price")
    expected = {key: group for key, group in groups.items() if key[0] == "price"}
    assert rows.keys() == expected.keys()
    seen, undefined = {}, set()
    for key, (labelled, label_status) in expected.items():
        row = rows[key]
        scored = labelled[labelled["score"].notna()]
        y, predicted = scored["label"].to_numpy(float), scored["score"].to_numpy(float)
        status = label_status
        if status == "ok" and len(y) < MIN_SAMPLES:
            status = "insufficient_data"
        seen[status] = seen.get(status, 0) + 1
        assert row["data_status"] == status, key
        assert row["labeled_count"] == len(labelled)
        assert row["task"] == "regression"
        if status != "ok":
            assert all(row[name] is None for name in REGRESSION), key
            continue
        assert row["zero_label_count"] == np.sum(y == 0)
        is_huge = np.abs(y).max() > 1e190
        values = {
            "mae": metrics.mean_absolute_error(y, predicted),
            "rmse": None if is_huge else metrics.root_mean_squared_error(y, predicted),
            "mape": metrics.mean_absolute_percentage_error(y[y != 0], predicted[y != 0]),
            "r2": None if is_huge or np.ptp(y) == 0 else metrics.r2_score(y, predicted),
            "mean_error": np.mean(predicted - y),
        }
        undefined |= {name for name, value in values.items() if value is None}
        for name, value in values.items():
            if value is None:
                assert row[name] is row[f"{name}_lower"] is row[f"{name}_upper"] is None
                continue
            assert row[name] == pytest.approx(value, rel=1e-9), (key, name)
        error = predicted - y
        if not is_huge:
            ends = {
                "mae": mean_interval(np.abs(error)),
                "rmse": np.sqrt(np.maximum(mean_interval(error**2), 0)),
                "mape": mean_interval(np.abs(error / y)[y != 0]),
                "mean_error": mean_interval(error),
            }
            for name, (lower, upper) in ends.items():
                low = lower if name == "mean_error" else max(lower, 0)
                assert row[f"{name}_lower"] == pytest.approx(low, rel=1e-6, abs=1e-6), name
                assert row[f"{name}_upper"] == pytest.approx(upper, rel=1e-6), name
    assert all(seen[status] > 5 for status in ("ok", "immature", "insufficient_data"))
    assert undefined == {"rmse", "r2"}


def test_multiclass(warehouse, groups):
    rows = rows_of(warehouse, "intent")
    expected = {key: group for key, group in groups.items() if key[0] == "intent"}
    assert rows.keys() == expected.keys()
    seen = {}
    for key, (labelled, label_status) in expected.items():
        row = rows[key]
        # What has no predicted class is neither right nor wrong.
        known = labelled[labelled["prediction"].notna()]
        y, predicted = known["label"].to_list(), known["prediction"].to_list()
        status = label_status
        if status == "ok" and len(y) < MIN_SAMPLES:
            status = "insufficient_data"
        seen[status] = seen.get(status, 0) + 1
        assert row["data_status"] == status, key
        assert row["labeled_count"] == len(labelled)
        names = [f"{average}_{name}" for average in ("macro", "weighted") for name in AVERAGES]
        if status != "ok":
            assert all(row[name] is None for name in [*names, "accuracy"]), key
            continue
        assert row["accuracy"] == pytest.approx(metrics.accuracy_score(y, predicted))
        hits = int(np.sum(np.array(y) == np.array(predicted)))
        wilson = stats.binomtest(hits, len(y)).proportion_ci(method="wilson")
        assert (row["accuracy_lower"], row["accuracy_upper"]) == pytest.approx(tuple(wilson))
        for average in ("macro", "weighted"):
            found = metrics.precision_recall_fscore_support(
                y, predicted, average=average, zero_division=np.nan
            )
            for name, value in zip(AVERAGES, found, strict=False):
                assert row[f"{average}_{name}"] == pytest.approx(value, abs=1e-12), (key, name)
        assert row["roc_auc"] is row["positive_rate"] is row["mae"] is None
    assert all(seen[status] > 5 for status in ("ok", "immature", "insufficient_data"))


def test_what_is_only_of_two_classes(warehouse):
    for table in ("calibration", "group_metrics"):
        statuses = warehouse.query(f"select distinct data_status from ml_monitoring.{table}")
        assert statuses == [("not_applicable",)]
    assert warehouse.query("select count(*) from ml_monitoring.fairness") == [(0,)]


# --- As metrics ----------------------------------------------------------------------------------


def test_metrics_of_the_task(warehouse):
    found = warehouse.query(
        "select model_name, list(distinct metric order by metric)"
        " from ml_monitoring.monitoring_metrics where home_table = 'model_performance'"
        " group by 1 order by 1"
    )
    averages = [f"{average}_{name}" for average in ("macro", "weighted") for name in AVERAGES]
    assert found == [("intent", sorted([*averages, "accuracy"])), ("price", sorted(REGRESSION))]
    statuses = warehouse.query(
        "select distinct m.data_status from ml_monitoring.monitoring_metrics as m"
        " inner join ml_monitoring.model_performance as p using (model_name, model_version, role,"
        " slice_key, slice_value, window_size, window_end, label_view)"
        " where m.metric = 'rmse' and m.value is null and p.data_status = 'ok'"
    )
    assert statuses == [("not_estimable",)]


def test_targets(warehouse):
    found = {
        name: (is_breached, value, status)
        for name, is_breached, value, status in warehouse.query(
            "select slo_name, is_breached, sli_value, data_status from ml_monitoring.slo_status"
        )
    }
    assert set(found) == {"errors of prices", "squares", "classes"}
    is_breached, value, _ = found["classes"]
    assert is_breached and 0 < value < 1


# --- The predicted class as a feature ------------------------------------------------------------


def test_drift_of_the_predicted_class(warehouse):
    drift = warehouse.frame(
        "select * from ml_monitoring.feature_drift where feature = 'prediction'"
        " and slice_key = 'all' and comparison = 'baseline' and window_size = '3d'"
    )
    assert set(drift["model_name"]) == {"intent"}
    assert set(drift["feature_type"]) == {"categorical"}
    events, _ = oracle.read_events(
        warehouse.landing, AS_OF, lambda record: {"class": class_name(record.get("prediction"))}
    )
    events = events[(events["status"] < 400) & (events["model_name"] == "intent")]
    events = events.assign(predicted=events["slices"].str["class"])
    frozen = dict(
        warehouse.query(
            "select model_version, prediction_count from ml_monitoring.baselines"
            " where model_name = 'intent' and kind = 'score'"
        )
    )
    checked = 0
    for row in drift[drift["data_status"] == "ok"].itertuples():
        own = events[events["model_version"] == row.model_version]
        inside = own[(own["ts"] >= row.window_start) & (own["ts"] < row.window_end)]
        # v2 has a baseline of its own: all that there is of it.
        before = len(own) if row.model_version == "v2" else frozen["v1"]
        assert (row.baseline_count, row.current_count) == (before, len(inside))
        assert row.current_null_rate == pytest.approx(inside["predicted"].isna().mean())
        of_model = events[(events["ts"] >= START) & (events["ts"] < START + timedelta(days=3))]
        is_new = ~inside["predicted"].isin(of_model["predicted"]) & inside["predicted"].notna()
        assert row.new_category_rate == pytest.approx(is_new.mean())
        checked += 1
    assert checked > 3
    assert set(drift["model_version"]) == {"v1", "v2"}


# --- Step by step --------------------------------------------------------------------------------


def test_step_by_step_equals_at_once(warehouse, tmp_path):
    fresh = Warehouse(tmp_path, dict(warehouse.vars, landing_path=str(warehouse.landing)))
    run = fresh.dbt("run")
    assert run.exit_code == 0, run.end
    for table in ("model_performance", "label_coverage", "calibration"):
        query = f"select * from ml_monitoring.{table} order by all"
        found, expected = warehouse.query(query), fresh.query(query)
        assert len(found) > 100
        assert found == expected, table
