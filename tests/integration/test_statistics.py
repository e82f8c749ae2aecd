"""Performance, calibration, drift and fairness against scikit-learn, SciPy and fairlearn.

The oracle reads the landing files and knows nothing of the project's code.
"""

import json
import random
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
import sklearn
import yaml
from fairlearn import metrics as fairlearn_metrics
from scipy import stats
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import precision_score

from tests.integration import oracle
from tests.integration import statistics_oracle as truth
from tests.integration.oracle import SERIES
from tests.integration.warehouse import DEPLOYMENT, PROJECT, TARGET, Warehouse

AS_OF = datetime(2013, 7, 21)
BASELINE = (datetime(2013, 7, 8), datetime(2013, 7, 14))
# v2 is promoted; v4 comes when the baseline is over.
PROMOTION = datetime(2013, 7, 15)
V4_START = datetime(2013, 7, 16)
DRIFT_DAYS = [1, 3]
PERFORMANCE_DAYS = [1, 3, 7]
# Few enough that some features are continuous and some categories share a bin.
DRIFT_BINS = 80
GUARDRAILS = [
    {"slo_name": "tpr", "metric": "equal_opportunity_difference", "objective": "0.02"},
    {"slo_name": "ratio", "metric": "demographic_parity_ratio", "comparator": ">="},
]
GUARDRAILS[1]["objective"] = "0.999"
WINDOW = [*SERIES, "window_size", "window_end"]


# --- The case ------------------------------------------------------------------------------------


def odd_records(landing, rng: random.Random) -> tuple[list, list]:
    """What calm days of the demo lack: odd values, repeated lines, corrected labels, versions."""
    records = [
        record for record in oracle.read_records(landing / "inference_events") if record["score"]
    ]
    labels = list(oracle.read_records(landing / "labels"))
    label_of = {label["request_id"]: label for label in labels}
    events, more_labels = [], []

    # A line that is repeated later loses, one of earlier date wins.
    for seconds in (3600, 1, -1, -0.5):
        for record in rng.sample(records, 60):
            changes = {"score": rng.random(), "prediction": 1, "ts": later(record["ts"], seconds)}
            features = record["features"] | {"carrier": "DL", "origin_delay_2h_min": 0.0}
            events.append(record | changes | {"features": features})

    # Other versions in shadow: one of all days, one that came after the baseline.
    for record in records:
        if record["role"] == "live":
            tenth = rng.randrange(10)
            score = round(min(record["score"] * 1.3, 1.0), 3)
            shadow = record | {"role": "shadow", "score": score, "prediction": None}
            if tenth < 4:
                events.append(shadow | {"model_version": "v3"})
            if tenth < 2 and oracle.moment(record["ts"]) >= V4_START:
                events.append(shadow | {"model_version": "v4", "score": score / 2})

    # Odd values in requests of their own.
    oddities = [
        {"score": 0.0},
        {"score": 1.0},
        {"score": 0.5, "prediction": None},
        {"score": 0.3},
        {"score": 0.7, "prediction": "0"},
        {"score": 0.2, "prediction": 1},
        {"score": 0.1 * 7, "prediction": "late"},
        {"score": None, "prediction": 1},
        {"score": "high", "prediction": None},
        {"score": 1.2, "prediction": 0},
        {"status": 500},
        {"ts": "00:00:00"},
        {"features": {"carrier": None, "destination": None}},
        {"features": {"carrier": "ZZ", "destination": "Mars"}},
        {"features": {"origin_delay_2h_min": -500, "distance_mi": 0.5}},
        {"features": {"origin_delay_2h_min": 5000.5, "distance_mi": 9999}},
        {"features": {"temperature_f": None, "pressure_mb": "low"}},
        {"features": {"is_first_leg": None, "humidity_pct": 1e300}},
        {"features": {"aircraft_last_delay_min": float("inf")}},
    ]
    live = [record for record in records if record["role"] == "live" and record["status"] < 400]
    for number in range(1200):
        record, odd = rng.choice(live), dict(oddities[number % len(oddities)])
        if "features" in odd:
            # Values come in clumps of their own: those that never were, in the last days.
            record = rng.choice(live[-3000:]) if number % 3 else record
            odd["features"] = record["features"] | odd["features"]
        if "ts" in odd:
            odd["ts"] = record["ts"][:11] + odd["ts"] + "Z"
        request_id = f"odd-{number}"
        events.append(record | odd | {"request_id": request_id})
        label = label_of.get(record["request_id"])
        if label and number % 7:
            more_labels.append(label | {"request_id": request_id})

    # Corrections: of any date, of the moment of the first, and at the very end of the grace.
    for number, label in enumerate(rng.sample(labels, 3000)):
        opposite = label | {"label": 1 - label["label"]}
        landed = oracle.moment(label["labeled_at"])
        midnight = datetime(landed.year, landed.month, landed.day) + timedelta(days=1)
        at = [
            landed + timedelta(hours=rng.uniform(0.1, 100)),
            landed - timedelta(hours=0.5),
            landed,
            midnight + timedelta(hours=48),
            midnight + timedelta(hours=48, microseconds=1),
            midnight + timedelta(hours=24, microseconds=1),
        ][number % 6]
        more_labels.append(opposite | {"labeled_at": at.isoformat() + "Z", "model": None})
    more_labels += [label | {"model": "other", "label": 0} for label in rng.sample(labels, 50)]
    return events, more_labels


def later(ts: str, seconds: float) -> str:
    return (oracle.moment(ts) + timedelta(seconds=seconds)).isoformat() + "Z"


@dataclass
class Case:
    """A built warehouse and what the oracle reads from the same files."""

    warehouse: Warehouse
    model: dict
    predictions: pd.DataFrame
    labels: pd.DataFrame

    def __post_init__(self) -> None:
        self.tables: dict[str, pd.DataFrame] = {}

    def table(self, name: str) -> pd.DataFrame:
        """Read a public table once."""
        if name not in self.tables:
            self.tables[name] = self.warehouse.frame(f"select * from ml_monitoring.{name}")
        return self.tables[name].copy()


@pytest.fixture(scope="module")
def case(tmp_path_factory, demo_landing) -> Case:
    project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())
    (model,) = project["vars"]["monitored_models"]
    model |= {
        "baseline": {"start": f"{BASELINE[0]:%F}", "end": f"{BASELINE[1]:%F}"},
        "protected_attributes": ["origin", "carrier"],
    }
    warehouse = Warehouse(
        tmp_path_factory.mktemp("statistics"),
        {
            "monitored_models": [model],
            "as_of": f"{AS_OF:%F}",
            "drift_windows_days": DRIFT_DAYS,
            "performance_windows_days": PERFORMANCE_DAYS,
            "drift_bins": DRIFT_BINS,
        },
    )
    shutil.copytree(demo_landing, warehouse.landing, dirs_exist_ok=True)
    events, labels = odd_records(demo_landing, random.Random(4))
    warehouse.write("inference_events/odd.jsonl", events)
    warehouse.write("labels/odd.jsonl.gz", labels)
    named = {"model_name": "flight_delay", "slice_key": "origin", "window_size": "3d"}
    guardrails = [named | guardrail for guardrail in GUARDRAILS]
    warehouse.own("slo_targets", TARGET, guardrails)
    warehouse.own("deployments", DEPLOYMENT, [{"model": "flight_delay", "from": "2013-07-08"}])
    # The project's own tests of its tables run elsewhere.
    build = warehouse.dbt("run")
    assert build.exit_code == 0, build.end
    return Case(
        warehouse,
        model,
        truth.read_predictions(warehouse.landing, AS_OF, model),
        truth.read_labels(warehouse.landing, AS_OF, model),
    )


@pytest.fixture(scope="module")
def groups(case) -> dict[tuple, truth.Labelled]:
    """The labelled predictions of every row of model_performance, by its key."""
    return truth.labelled_groups(
        case.predictions, case.labels, case.model["slices"], PERFORMANCE_DAYS, AS_OF
    )


@pytest.fixture(scope="module")
def computed(groups) -> dict[tuple, dict[str, float]]:
    """The metrics of those."""
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        return {key: truth.performance(group) for key, group in groups.items()}


def by_key(table: pd.DataFrame, *names: str) -> dict[tuple, dict]:
    """Give the rows of a table by their key; a null is None."""
    records = table.astype(object).where(table.notna(), None).to_dict("records")
    found = {tuple(row[name] for name in names): row for row in records}
    assert len(found) == len(table)
    return found


LABEL_KEY = [*WINDOW, "label_view"]


# --- Performance and calibration -----------------------------------------------------------------


def test_rows_are_those_of_the_oracle(case, groups):
    for name, status_of in (
        ("model_performance", truth.performance_status),
        ("calibration", truth.calibration_status),
    ):
        rows = by_key(case.table(name), *LABEL_KEY)
        assert rows.keys() == groups.keys()
        statuses = {key: status_of(group) for key, group in groups.items()}
        assert {key: row["data_status"] for key, row in rows.items()} == statuses
        counts = {key: len(group.y_true) for key, group in groups.items()}
        assert {key: row["labeled_count"] for key, row in rows.items()} == counts
        for key, row in rows.items():
            assert row["window_end"] - row["window_start"] == timedelta(int(key[5][:-1]))
    # The case has all there is to tell apart.
    assert {"ok", "immature", "no_data", "insufficient_data"} <= set(statuses.values())
    assert {key[1:3] for key in groups} == {
        ("v1", "live"),
        ("v2", "shadow"),
        ("v2", "live"),
        ("v3", "shadow"),
        ("v4", "shadow"),
    }


# How far a metric may be from the oracle's: counts are exact, sums of scores are kept in units of
# 2^-30, so that a mean is off by at most 2^-31.
TOLERANCE = dict.fromkeys(
    ["positive_rate", "f1", "precision", "recall", "accuracy", "selection_rate"]
    + ["true_positive_rate", "false_positive_rate"],
    1e-12,
) | dict.fromkeys(["brier_score", "log_loss", "mean_score", "ece", "mce"], 1e-9)
# A square root of sums that are off as much.
TOLERANCE["ece_noise_floor"] = 1e-8
BOUNDS = {
    "roc_auc": "roc_auc_error_bound",
    "average_precision": "average_precision_error_bound",
}


@pytest.mark.parametrize("name", ["model_performance", "calibration"])
def test_metrics_are_those_of_scikit_learn(case, computed, name):
    table = case.table(name)
    metrics = [metric for metric in [*TOLERANCE, *BOUNDS] if metric in table]
    assert len(metrics) == (12 if name == "model_performance" else 4)
    expected = pd.DataFrame(computed.values(), index=pd.MultiIndex.from_tuples(computed))
    expected = expected.reindex(pd.MultiIndex.from_frame(table[LABEL_KEY]))
    for metric in metrics:
        found, oracles = table[metric].to_numpy(float), expected[metric].to_numpy(float)
        # Null exactly where it is undefined.
        assert (np.isnan(found) == np.isnan(oracles)).all(), metric
        bound = table[BOUNDS[metric]] + 1e-9 if metric in BOUNDS else TOLERANCE[metric]
        error = np.abs(found - oracles)
        assert not (error > bound).any(), (metric, np.nanmax(error - bound))
        assert (~np.isnan(found)).sum() > 1000
    if name == "model_performance":
        # A bound is of use only if it is small.
        whole = table["slice_key"] == "all"
        assert table.loc[whole, "roc_auc_error_bound"].max() < 0.005
        assert table["roc_auc_error_bound"].max() < 0.05


def test_wilson_intervals(case, groups):
    rates = {
        "positive_rate": lambda y, d, p: (y.sum(), len(y)),
        "precision": lambda y, d, p: (d[p == 1].sum(), (p == 1).sum()),
        "recall": lambda y, d, p: (p[d == 1].sum(), (d == 1).sum()),
        "accuracy": lambda y, d, p: ((p == d).sum(), len(p)),
        "selection_rate": lambda y, d, p: (p.sum(), len(p)),
        "true_positive_rate": lambda y, d, p: (p[d == 1].sum(), (d == 1).sum()),
        "false_positive_rate": lambda y, d, p: (p[d == 0].sum(), (d == 0).sum()),
    }
    table = case.table("model_performance")
    table = table[table["positive_rate"].notna()].sample(200, random_state=1)
    for key, row in by_key(table, *LABEL_KEY).items():
        for name, counts_of in rates.items():
            successes, trials = counts_of(groups[key].y_true, *groups[key].decided)
            found = row[f"{name}_lower"], row[f"{name}_upper"]
            if not trials:
                assert found == (None, None)
                continue
            test = stats.binomtest(int(successes), int(trials))
            np.testing.assert_allclose(found, test.proportion_ci(method="wilson"), atol=1e-12)


def test_delong_intervals(case, groups):
    """The interval of the binned scores is that of the scores themselves, but for the bins."""
    table = case.table("model_performance")
    table = table[table["roc_auc"].notna()]
    for key, row in by_key(table.sample(400, random_state=2), *LABEL_KEY).items():
        lower, upper = truth.delong_interval(*groups[key].scored)
        # The middle moves with AUC. The width: placements move by a part of a bin.
        allowed = row["roc_auc_error_bound"] + 0.05 * (upper - lower)
        assert abs(row["roc_auc_lower"] - lower) <= allowed
        assert abs(row["roc_auc_upper"] - upper) <= allowed


def test_reliability_curve(case, groups):
    curves = case.table("reliability_curve")
    assert (curves["score_lower"] == curves["bin"] / 10).all()
    assert (curves["score_upper"] == (curves["bin"] + 1) / 10).all()
    drawn = dict(iter(curves.groupby(LABEL_KEY)))
    expected = {k for k, group in groups.items() if truth.calibration_status(group) == "ok"}
    assert drawn.keys() == expected
    for key, curve in drawn.items():
        bins = truth.reliability(*groups[key].scored)
        curve = curve.sort_values("bin")
        assert curve["bin"].tolist() == bins.index.tolist()
        assert curve["labeled_count"].tolist() == bins["labeled_count"].tolist()
        np.testing.assert_allclose(curve["positive_rate"], bins["positive_rate"], atol=1e-12)
        np.testing.assert_allclose(curve["mean_score"], bins["mean_score"], atol=1e-9)


def test_calibration_line(case, groups):
    """Slope and intercept against scikit-learn's on the scores themselves.

    The marts fit the mean scores of bins, 0.028 wide on the logit scale for whole models and 0.28
    for slices; a standard error is the natural unit of what that may change.
    """
    table = case.table("calibration")
    lines = table[table["line_status"] == "ok"]
    assert (lines["calibration_slope"].notna() & lines["calibration_intercept"].notna()).all()
    others = table[table["line_status"] != "ok"]
    assert others[["calibration_slope", "calibration_intercept"]].isna().all(axis=None)
    sample = pd.concat(
        [lines[lines["slice_key"] == "all"], lines[lines["slice_key"] != "all"].sample(300)]
    )
    for key, row in by_key(sample, *LABEL_KEY).items():
        slope, intercept, *errors = truth.calibration_line(*groups[key].scored)
        allowed = np.array(errors) * (0.01 if key[3] == "all" else 0.1)
        assert abs(row["calibration_slope"] - slope) <= allowed[0]
        assert abs(row["calibration_intercept"] - intercept) <= allowed[1]
