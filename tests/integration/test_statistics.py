"""Performance, calibration, drift and fairness against scikit-learn, SciPy and fairlearn.

The oracle reads the landing files and knows nothing of the project's code.
"""

import json
import random
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import pandas as pd
import pytest
import sklearn
import yaml
from fairlearn import metrics as fairlearn_metrics
from scipy import stats
from scipy.spatial.distance import jensenshannon
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import precision_score

from tests.integration import oracle
from tests.integration import statistics_oracle as truth
from tests.integration.oracle import SERIES
from tests.integration.warehouse import DEPLOYMENT, PROJECT, TARGET, Warehouse

AS_OF = datetime(2013, 7, 21)
BASELINE = (datetime(2013, 7, 8), datetime(2013, 7, 14))
# A version that comes when the baseline is over; v2 was in shadow in it.
V4_START = datetime(2013, 7, 16)
DRIFT_DAYS = [1, 3]
PERFORMANCE_DAYS = [1, 7]
# Few enough that some features are continuous and some categories share a bin.
DRIFT_BINS = 80
# What is computed from labels is of the intersection too.
LABEL_SLICES = ["carrier", "origin", "origin x carrier"]
GUARDRAILS = [
    {"metric": "equal_opportunity_difference", "comparator": "<=", "objective": "0.02"},
    {"metric": "demographic_parity_ratio", "comparator": ">=", "objective": "0.999"},
]
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
        {"score": float(np.nextafter(0.3, 0))},
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
        "protected_intersections": [["origin", "carrier"]],
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
    named = {"model_name": "flight_delay", "slice_key": "origin", "window_size": "7d"}
    guardrails = [named | guardrail | {"slo_name": guardrail["metric"]} for guardrail in GUARDRAILS]
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
        case.predictions, case.labels, LABEL_SLICES, PERFORMANCE_DAYS, AS_OF
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
    [
        "positive_rate",
        "f1",
        "precision",
        "recall",
        "accuracy",
        "selection_rate",
        "true_positive_rate",
        "false_positive_rate",
    ],
    1e-12,
) | dict.fromkeys(["brier_score", "log_loss", "mean_score", "ece", "mce"], 1e-9)
# A square root of sums that are off as much.
TOLERANCE |= dict.fromkeys(["ece_noise_floor", "ece_excess"], 1e-8)
BOUNDS = {
    "roc_auc": "roc_auc_error_bound",
    "average_precision": "average_precision_error_bound",
}


@pytest.mark.parametrize("name", ["model_performance", "calibration"])
def test_metrics_are_those_of_scikit_learn(case, computed, name):
    table = case.table(name)
    metrics = [metric for metric in [*TOLERANCE, *BOUNDS] if metric in table]
    assert len(metrics) == (12 if name == "model_performance" else 5)
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
        assert table.loc[whole, "roc_auc_error_bound"].max() < 0.01
        assert table["roc_auc_error_bound"].max() < 0.15


def test_wilson_intervals(case, groups):
    def counts_of(labels, y_true, y_pred):
        positives, negatives, selected = y_true == 1, y_true == 0, y_pred == 1
        return {
            "positive_rate": (labels.sum(), len(labels)),
            "precision": (y_true[selected].sum(), selected.sum()),
            "recall": (y_pred[positives].sum(), positives.sum()),
            "accuracy": ((y_true == y_pred).sum(), len(y_true)),
            "selection_rate": (selected.sum(), len(y_true)),
            "true_positive_rate": (y_pred[positives].sum(), positives.sum()),
            "false_positive_rate": (y_pred[negatives].sum(), negatives.sum()),
        }

    table = case.table("model_performance")
    table = table[table["positive_rate"].notna()].sample(200, random_state=1)
    for key, row in by_key(table, *LABEL_KEY).items():
        counts = counts_of(groups[key].y_true, *groups[key].decided)
        for name, (successes, trials) in counts.items():
            found = row[f"{name}_lower"], row[f"{name}_upper"]
            if not trials:
                assert found == (None, None)
                continue
            test = stats.binomtest(int(successes), int(trials))
            np.testing.assert_allclose(found, test.proportion_ci(method="wilson"), atol=1e-12)


def test_intervals_of_mean_losses(case, groups):
    table = case.table("model_performance")
    table = table[table["brier_score"].notna()].sample(200, random_state=5)
    for key, row in by_key(table, *LABEL_KEY).items():
        y_true, y_score = groups[key].scored
        clipped = np.clip(y_score, 2.0**-52, 1 - 2.0**-52)
        losses = {
            "brier_score": (y_score - y_true) ** 2,
            "log_loss": -np.log(np.where(y_true == 1, clipped, 1 - clipped)),
        }
        for name, loss in losses.items():
            reach = stats.norm.ppf(0.975) * loss.std(ddof=1) / np.sqrt(len(loss))
            assert row[f"{name}_lower"] == pytest.approx(max(loss.mean() - reach, 0), abs=1e-6)
            assert row[f"{name}_upper"] == pytest.approx(loss.mean() + reach, abs=1e-6)
        assert row["average_precision_lower"] is None or (
            row["average_precision_lower"]
            < row["average_precision"]
            < row["average_precision_upper"]
        )
        assert row["f1"] is None or row["f1_lower"] <= row["f1"] <= row["f1_upper"]


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
    drawn = dict(iter(curves.sort_values("bin").groupby(LABEL_KEY)))
    expected = {k for k, group in groups.items() if truth.calibration_status(group) == "ok"}
    assert drawn.keys() == expected
    for key, curve in drawn.items():
        bins = truth.reliability(*groups[key].scored)
        assert curve["bin"].tolist() == bins["bin"].tolist()
        assert curve["labeled_count"].tolist() == bins["labeled_count"].tolist()
        for name, atol in (("positive_rate", 1e-12), ("mean_score", 1e-9)):
            assert np.abs(curve[name].to_numpy() - bins[name]).max() <= atol
    for row in curves.sample(100, random_state=1).to_dict("records"):
        test = stats.binomtest(
            round(row["positive_rate"] * row["labeled_count"]), row["labeled_count"]
        )
        np.testing.assert_allclose(
            (row["positive_rate_lower"], row["positive_rate_upper"]),
            test.proportion_ci(method="wilson"),
            atol=1e-12,
        )


def test_calibration_line(case, groups):
    """Slope and intercept against scikit-learn's on the scores themselves.

    The marts fit the mean scores of bins, 0.028 wide on the logit scale for whole models and 0.28
    for slices. That moves each logit by some width / sqrt(12), and so the slope at random by that
    over the spread of the logits, in standard errors: here (a spread of 0.6) by 0.01 and 0.13.
    """
    table = case.table("calibration")
    lines = table[table["line_status"] == "ok"]
    assert (lines["calibration_slope"].notna() & lines["calibration_intercept"].notna()).all()
    others = table[table["line_status"] != "ok"]
    assert others[["calibration_slope", "calibration_intercept"]].isna().all(axis=None)
    sample = pd.concat(
        [
            lines[lines["slice_key"] == "all"],
            lines[lines["slice_key"] != "all"].sample(300, random_state=3),
        ]
    )
    moved: dict[bool, list[float]] = {True: [], False: []}
    for key, row in by_key(sample, *LABEL_KEY).items():
        line, errors = truth.calibration_line(*groups[key].scored)
        found = np.array([row["calibration_slope"], row["calibration_intercept"]])
        moved[key[3] == "all"].append(np.max(np.abs(found - line) / errors))
    assert max(moved[True]) < 0.03
    assert max(moved[False]) < 0.6
    assert np.median(moved[False]) < 0.1


def test_recalibration_plan(case):
    """What each map does, on the scores one by one instead of in bins."""
    judged_start = AS_OF - timedelta(days=max(PERFORMANCE_DAYS) // 3)
    known = truth.known_labels(case.labels, AS_OF + truth.SKEW)
    scored = case.predictions.assign(label=case.predictions["request_id"].map(known))
    scored = scored[scored["label"].notna() & scored["score"].notna()]
    is_judged = (scored["day"] >= judged_start) & (scored["day"] < AS_OF)
    is_fitted = (scored["day"] >= AS_OF - timedelta(days=max(PERFORMANCE_DAYS))) & (
        scored["day"] < judged_start
    )
    plans = by_key(case.table("recalibration_plan"), "model_version", "role", "method")
    assert {key[:2] for key in plans} == set(
        scored[is_judged | is_fitted].groupby(["model_version", "role"]).groups
    )
    for (version, role, method), plan in plans.items():
        is_own = (scored["model_version"] == version) & (scored["role"] == role)
        start, end = (V4_START, AS_OF) if version == "v4" else BASELINE
        baseline = scored[
            (scored["model_version"] == version) & (scored["day"] >= start) & (scored["day"] < end)
        ]
        judged = scored[is_own & is_judged]
        assert plan["judged_labeled_count"] == len(judged)
        assert plan["fit_labeled_count"] == (is_own & is_fitted).sum()
        assert plan["baseline_labeled_count"] == len(baseline)
        if plan["data_status"] != "ok":
            assert plan["parameters"] is plan["recalibrated_ece"] is None
            continue
        y_true, y_score = judged["label"].to_numpy(), judged["score"].to_numpy()
        oracle_of = truth.calibration(y_true, y_score)
        assert plan["ece"] == pytest.approx(oracle_of["ece"], abs=1e-6)
        assert plan["ece_noise_floor"] == pytest.approx(oracle_of["ece_noise_floor"], abs=1e-6)
        assert plan["brier_score"] == pytest.approx(np.mean((y_score - y_true) ** 2), abs=1e-4)
        given = json.loads(plan["parameters"])
        clipped = np.clip(y_score, 2.0**-52, 1 - 2.0**-52)
        if method == "isotonic":
            mapped = np.interp(y_score, given["score"], given["probability"])
        elif method == "platt":
            mapped = expit(given["intercept"] + given["slope"] * logit(clipped))
        else:
            mapped = expit(logit(clipped) / given["temperature"])
        # A bin of scores is mapped as one, and may fall into another calibration bin than some.
        found = truth.calibration(y_true, mapped)["ece"]
        assert plan["recalibrated_ece"] == pytest.approx(found, abs=5e-3)
        found = np.mean((mapped - y_true) ** 2)
        assert plan["recalibrated_brier_score"] == pytest.approx(found, abs=1e-3)
        was = truth.calibration(baseline["label"].to_numpy(), baseline["score"].to_numpy())["ece"]
        assert plan["baseline_ece"] == pytest.approx(was, abs=1e-6)
        rise = plan["ece"] - max(was, plan["ece_noise_floor"])
        assert plan["is_needed"] == (plan["ece"] >= 2 * was and rise >= 0.02)
    assert "ok" in {plan["data_status"] for plan in plans.values()}
    assert (case.table("recalibration_plan")["judged_start"] == judged_start).all()


# --- Estimates -----------------------------------------------------------------------------------

REFERENCE_DAYS = 28


def estimate_of(case, edges, version, role, days, end):
    """Status, estimates and counts of one window, from single predictions."""
    start = end - timedelta(days=days)
    own = case.predictions[case.predictions["model_version"] == version]
    own = own[own["score"].notna()]
    window = own[(own["role"] == role) & (own["day"] >= start) & (own["day"] < end)]
    # The last midnight of which all that counts as known then was known when the window ended.
    midnight = end - timedelta(hours=48)
    reference = own[(own["day"] >= start - timedelta(days=REFERENCE_DAYS)) & (own["day"] < start)]
    reference = reference[reference["day"] < midnight]
    known = truth.known_labels(case.labels, midnight + truth.GRACE)
    label = reference["request_id"].map(known).astype(float)
    reference, label = reference[label.notna()], label[label.notna()]
    counts = {"prediction_count": len(window), "reference_labeled_count": len(label)}
    classes = sorted([label.sum(), len(label) - label.sum()])
    if not len(window):
        return "no_data", {}, counts
    if not len(label):
        return "no_baseline", {}, counts
    if min(len(window), len(label)) < truth.MIN_SAMPLES:
        return "insufficient_data", {}, counts
    if classes[0] == 0:
        return "single_class", {}, counts
    if classes[0] < truth.MIN_PER_CLASS:
        return "insufficient_data", {}, counts
    curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    curve.fit(np.searchsorted(edges, reference["score"]), label)
    place = np.searchsorted(edges, window["score"])
    chance = curve.predict(place)
    predicted = window["predicted"].to_numpy()
    hits, positives = (chance * predicted).sum(), chance.sum()
    right = np.where(predicted == 1, chance, 1 - chance)
    found = {
        "accuracy": right.mean(),
        "f1": 2 * hits / (predicted.sum() + positives),
        "precision": hits / predicted.sum() if predicted.any() else None,
        "recall": hits / positives,
        "positive_rate": chance.mean(),
    }
    if min(positives, len(window) - positives) >= truth.MIN_PER_CLASS:
        found["roc_auc"] = sklearn.metrics.roc_auc_score(
            np.repeat([1, 0], len(window)),
            np.tile(place, 2),
            sample_weight=np.concatenate([chance, 1 - chance]),
        )
    decided = reference["predicted"].to_numpy()
    return "ok", found, counts | {"reference_accuracy": (decided == label.to_numpy()).mean()}


def test_estimated_performance(case, groups):
    """Estimates of single predictions, by labels of before that were known."""
    [(edges,)] = case.warehouse.query(
        "select edges from ml_monitoring_internal.int_score_edges where grid = 'fine'"
    )
    rows = by_key(
        case.table("estimated_performance"),
        "model_version",
        "role",
        "window_size",
        "window_end",
        "metric",
    )
    windows = {(key[1], key[2], key[5], key[6]) for key in groups if key[3] == "all"}
    assert {key[:4] for key in rows} == windows
    assert len(rows) == 6 * len(windows)
    statuses = set()
    for version, role, size, end in windows:
        status, estimates, counts = estimate_of(case, edges, version, role, int(size[:-1]), end)
        for metric in ("roc_auc", "accuracy", "f1", "precision", "recall", "positive_rate"):
            row = rows[version, role, size, end, f"estimated_{metric}"]
            expected = estimates.get(metric)
            if status == "ok" and expected is None:
                assert row["data_status"] == (
                    "insufficient_data" if metric == "roc_auc" else "no_data"
                )
            else:
                assert row["data_status"] == status
            assert row["value"] == (expected and pytest.approx(expected, abs=1e-9))
            for name in ("prediction_count", "reference_labeled_count"):
                assert row[name] == counts[name]
            if metric == "accuracy" and status == "ok":
                assert row["reference_value"] == pytest.approx(counts["reference_accuracy"])
            statuses.add(row["data_status"])
    assert {"ok", "no_baseline"} <= statuses
    # On its first day a version has the labels of its time in shadow for a reference.
    first = min(end for version, role, _, end in windows if (version, role) == ("v2", "live"))
    assert rows["v2", "live", "1d", first, "estimated_accuracy"]["data_status"] == "ok"


def test_realised_figures_and_intervals_of_estimates(case, computed):
    found = case.table("estimated_performance")
    assert (found["interval_status"] == "ok").sum() >= 10
    series = ["model_version", "role", "window_size", "metric"]
    for (version, role, size, metric), rows in found.groupby(series):
        rows = rows.set_index("window_end").sort_index()
        days = int(size[:-1])
        name = metric.removeprefix("estimated_")

        def realised(end, view):
            key = ("flight_delay", version, role, "all", "all", size, end, view)  # noqa: B023
            return computed[key].get(name, np.nan)  # noqa: B023

        bound = 0.01 if name == "roc_auc" else 1e-9
        for end, row in rows.iterrows():
            latest = realised(end, "latest")
            assert np.isnan(row["realised_value"]) == np.isnan(latest)
            assert np.isnan(latest) or row["realised_value"] == pytest.approx(latest, abs=bound)
            told = {
                other: rows.loc[other, "value"] - realised(other, "as_known")
                for other in rows.index
                if other <= end - timedelta(days=2)
            }
            told = {other: off for other, off in told.items() if not np.isnan(off)}
            assert row["past_window_count"] == len(told)
            if len(told) < 7 or row["data_status"] != "ok":
                assert np.isnan(row["value_lower"])
                assert np.isnan(row["value_upper"])
                assert row["interval_status"] != "ok"
                continue
            freedom = 1 + (max(told) - min(told)) / timedelta(days=days)
            reach = stats.t.ppf(0.975, freedom) * np.sqrt(np.mean(np.square(list(told.values()))))
            assert row["value_lower"] == pytest.approx(max(row["value"] - reach, 0), abs=bound)
            assert row["value_upper"] == pytest.approx(min(row["value"] + reach, 1), abs=bound)


# --- Drift ---------------------------------------------------------------------------------------

DRIFT_KEY = [*WINDOW, "feature", "comparison"]


@dataclass
class Traffic:
    """The features of all series, and of the baselines that they are compared with."""

    series: dict[tuple, truth.Series]
    baselines: dict[tuple, tuple[truth.Series, datetime, datetime]]
    places: dict[str, truth.Places]
    types: dict[str, str]

    def sides(self, row: dict) -> tuple[int, int, tuple[truth.Sample, truth.Sample] | None]:
        """Count the reference and the current side of a row, and take both where they suffice."""
        key = tuple(row[name] for name in SERIES)
        start, end, feature = row["window_start"], row["window_end"], row["feature"]
        series = self.series[key]
        if row["comparison"] == "previous":
            reference, period = series, (start - (end - start), start)
        else:
            owner = key[1] if feature == "score" else "all"
            reference, *period = self.baselines.get((owner, *key[3:]), (None, None, None))
        sizes = reference.count(*period) if reference else 0, series.count(start, end)
        if min(sizes) < truth.MIN_SAMPLES:
            return *sizes, None
        return *sizes, (reference.sample(feature, *period), series.sample(feature, start, end))


@pytest.fixture(scope="module")
def traffic(case) -> Traffic:
    predictions = case.predictions.copy()
    types = {feature["name"]: feature["type"] for feature in case.model["features"]}
    in_period = (predictions["day"] >= BASELINE[0]) & (predictions["day"] < BASELINE[1])
    of_features = in_period & (predictions["role"] == "live")
    places = {}
    for name, kind in types.items():
        found = truth.Places.of(
            predictions.loc[of_features, name].to_numpy(),
            DRIFT_BINS,
            is_number=kind == "numerical",
        )
        if found:
            places[name] = found
            predictions[f"place {name}"] = found.code(predictions[name].to_numpy())
    types["score"] = "prediction"
    rows = truth.by_slice(predictions, case.model["slices"])
    features = list(types)

    def series_of(part: pd.DataFrame) -> truth.Series:
        return truth.Series(part, features, places)

    owners = [("all", rows["role"] == "live", *BASELINE)]
    for version, part in predictions.groupby("model_version"):
        is_old = ((part["day"] >= BASELINE[0]) & (part["day"] < BASELINE[1])).any()
        first = part["day"].min()
        period = BASELINE if is_old else (first, first + timedelta(days=14))
        owners.append((version, rows["model_version"] == version, *period))
    baselines = {}
    for owner, is_part, start, end in owners:
        part = rows[is_part & (rows["day"] >= start) & (rows["day"] < end)]
        for key, of_slice in part.groupby(["slice_key", "slice_value"]):
            baselines[owner, *key] = series_of(of_slice), start, end
    series = {key: series_of(part) for key, part in rows.groupby(SERIES)}
    return Traffic(series, baselines, places, types)


@pytest.fixture(scope="module")
def drift(case, traffic) -> pd.DataFrame:
    """feature_drift with the cells of feature_distributions and the counts from the files."""
    table = case.table("feature_drift").sort_values(DRIFT_KEY, ignore_index=True)
    table["row"] = np.arange(len(table))
    cells = case.table("feature_distributions").merge(table[[*DRIFT_KEY, "row"]], on=DRIFT_KEY)
    assert len(cells) == len(case.table("feature_distributions"))
    cells = cells.sort_values(["row", "bin"])
    names = ["bin_lower", "bin_upper", "category", "baseline_count", "current_count"]
    columns = [cells[name].astype(object).where(cells[name].notna(), None) for name in names]
    parts: list[list] = [[] for _ in range(len(table))]
    for row, *cell in zip(cells["row"], *columns, strict=True):
        parts[row].append(cell)
    table["cells"] = parts
    found = [traffic.sides(row) for row in table[[*DRIFT_KEY, "window_start"]].to_dict("records")]
    table["reference_size"], table["current_size"], table["sides"] = zip(*found, strict=True)
    return table


def test_drift_rows_are_those_of_the_oracle(case, traffic, drift):
    expected = set()
    for days in DRIFT_DAYS:
        for end in truth.window_ends(case.predictions, days, AS_OF):
            for key, series in traffic.series.items():
                if series.count(end - timedelta(days=days), end):
                    expected |= {
                        (*key, f"{days}d", end, feature, comparison)
                        for feature in traffic.types
                        for comparison in ("baseline", "previous")
                    }
    assert set(drift[DRIFT_KEY].itertuples(index=False, name=None)) == expected
    assert (drift["feature_type"] == drift["feature"].map(traffic.types)).all()
    assert (drift["baseline_count"] == drift["reference_size"]).all()
    assert (drift["current_count"] == drift["current_size"]).all()
    has_sides = drift["sides"].notna()
    few = np.where(drift["reference_size"] == 0, "no_baseline", "insufficient_data")
    assert (drift["data_status"] == few)[~has_sides].all()
    assert drift.loc[has_sides, "data_status"].isin(["ok", "insufficient_data"]).all()
    for position, name in ((0, "baseline"), (1, "current")):
        rates = [
            sides[position].null_count / sides[position].count
            for sides in drift["sides"][has_sides]
        ]
        np.testing.assert_allclose(drift.loc[has_sides, f"{name}_null_rate"], rates, atol=1e-12)
    is_category = drift["feature_type"].isin(["categorical", "boolean"])
    assert drift.loc[~is_category, "new_category_rate"].isna().all()
    rates = [
        current.place_counts()[current.places.code_of("(new)")] / current.count
        for _, current in drift.loc[has_sides & is_category, "sides"]
    ]
    found = drift.loc[has_sides & is_category, "new_category_rate"]
    np.testing.assert_allclose(found, rates, atol=1e-12)
    assert max(rates) > 0


def test_out_of_range_rate(drift):
    """Exact against the baseline of the model, else the least that is beyond the reference."""
    assert (
        drift.loc[drift["feature_type"].isin(["categorical", "boolean"])]["out_of_range_rate"]
        .isna()
        .all()
    )
    is_ordered = drift["feature_type"].isin(["numerical", "prediction"]) & drift["sides"].notna()
    exact = beyond = 0
    for row in drift[is_ordered].itertuples():
        reference, current = row.sides
        if not len(reference.values):
            assert np.isnan(row.out_of_range_rate)
            continue
        values = current.values
        is_out = (values < reference.values[0]) | (values > reference.values[-1])
        share = is_out.sum() / current.count
        is_exact = (row.slice_key, row.comparison, row.feature_type) == (
            "all",
            "baseline",
            "numerical",
        )
        if is_exact:
            assert row.out_of_range_rate == pytest.approx(share, abs=1e-12)
            exact += 1
            beyond += share > 0
        else:
            assert 0 <= row.out_of_range_rate <= share + 1e-12
    assert exact > 100 and beyond > 10


def test_psi_of_places(drift):
    """PSI of features of few values, pooled by the oracle, knows nothing of the mart's cells."""
    checked = 0
    for row in drift[drift["sides"].notna()].itertuples():
        reference, current = row.sides
        if reference.codes is None or min(reference.count, current.count) < truth.MIN_SAMPLES:
            continue
        found = truth.pooled(
            reference.place_counts(), current.place_counts(), reference.places.is_single_value
        )
        assert row.data_status == ("ok" if found else "insufficient_data"), row
        if found:
            assert row.psi == pytest.approx(truth.psi(*found), rel=1e-9, abs=1e-12), row
            assert len(row.cells) == len(found[0])
            checked += 1
    assert checked > 5000


def test_cells(drift):
    """The counts of the cells, and all that follows from them."""
    assert drift.loc[drift["data_status"] != "ok", "cells"].str.len().max() == 0
    ok = drift[drift["data_status"] == "ok"]
    found, joined = [], 0
    for row in ok.itertuples():
        described = [
            (np.nan if lower is None else lower, np.nan if upper is None else upper, category)
            for lower, upper, category, *_ in row.cells
        ]
        has_rest = described[-1][2] == "(rest)"
        named = described[:-1] if has_rest else described
        counts = [np.array([side.count_cell(*cell) for cell in named]) for side in row.sides]
        # What has no cell of its own is the rest, or too little for one: it joined the last cell.
        left = [side.count - own.sum() for side, own in zip(row.sides, counts, strict=True)]
        is_small = left[1] < 10 and left[0] * row.current_count < 10 * row.baseline_count
        assert min(left) >= 0 and not (is_small and has_rest), row
        assert is_small or has_rest, row
        reference, current = counts
        assert (reference >= truth.MIN_CELL).all(), row
        assert (reference * row.current_count >= truth.MIN_CELL * row.baseline_count).all(), row
        if has_rest:
            counts = [np.append(own, rest) for own, rest in zip(counts, left, strict=True)]
        else:
            joined += sum(left) > 0
            for own, rest in zip(counts, left, strict=True):
                own[-1] += rest
        for own, position in zip(counts, (3, 4), strict=True):
            assert own.tolist() == [cell[position] for cell in row.cells], row
        found.append(counts)
    assert joined > 100

    np.testing.assert_allclose(
        ok["psi"], [truth.psi(*counts) for counts in found], rtol=1e-9, atol=1e-12
    )
    degrees = np.array([len(reference) - 1 for reference, _ in found])
    scale = 1 / ok["baseline_count"] + 1 / ok["current_count"]
    floor = np.where(degrees > 0, degrees * scale, np.nan)
    q95 = np.where(degrees > 0, stats.chi2.ppf(0.95, np.maximum(degrees, 1)) * scale, np.nan)
    np.testing.assert_allclose(ok["psi_noise_floor"], floor, rtol=1e-12)
    np.testing.assert_allclose(ok["psi_noise_q95"], q95, rtol=1e-9)

    has_test = ok["feature_type"].isin(["categorical", "boolean"]) & (degrees > 0)
    assert ok.loc[~has_test, ["chi2_statistic", "chi2_pvalue"]].isna().all(axis=None)
    sample = np.random.default_rng(6).random(len(ok)) < 0.1
    sample |= ok["slice_key"] == "all"
    for index in np.flatnonzero(sample):
        row, (reference, current) = ok.iloc[index], found[index]
        # scipy gives NaN where rounding takes the divergence of equal sides below 0.
        divergence = np.nan_to_num(jensenshannon(reference, current, base=2)) ** 2
        assert row["js_distance"] ** 2 == pytest.approx(divergence, abs=1e-12)
        if has_test.iloc[index]:
            test = stats.chi2_contingency([reference, current], correction=False)
            assert row["chi2_statistic"] == pytest.approx(test.statistic, rel=1e-9, abs=1e-9)
            assert row["chi2_pvalue"] == pytest.approx(test.pvalue, rel=1e-7, abs=1e-290)


def test_cells_are_near_deciles(traffic, drift):
    """A cell of a continuous feature ends at a decile of the reference or within a bin of it.

    A bin of whole models holds 1 / drift_bins of the baseline and what is tied at its end.
    """
    rows = drift[
        (drift["data_status"] == "ok")
        & (drift["comparison"] == "baseline")
        & (drift["slice_key"] == "all")
        & ~drift["feature"].isin(traffic.places)
        & (drift["feature"] != "score")
    ]
    checked = 0
    for row in rows.itertuples():
        values = row.sides[0].values
        cells = [cell for cell in row.cells if cell[2] is None]
        if cells[0][0] is not None or cells[-1][1] is not None or row.cells[-1][2] == "(rest)":
            continue
        start = 0.0
        for _, upper, *_ in cells[:-1]:
            end, below = (np.searchsorted(values, upper, side) for side in ("right", "left"))
            decile = (np.floor(10 * start + 1e-9) + 1) / 10
            stop, tied = end / len(values), (end - below) / len(values)
            assert decile - 1e-9 <= stop <= decile + 1 / DRIFT_BINS + tied + 1e-9, row
            start = stop
            checked += 1
    assert checked > 500


def test_ordered_statistics(drift, traffic):
    """KS and Wasserstein of the values themselves are within the stated bounds."""
    ok = drift[(drift["data_status"] == "ok")]
    is_ordered = ok["feature_type"].isin(["numerical", "prediction"])
    statistics = ["ks_statistic", "ks_statistic_error_bound", "ks_pvalue", "wasserstein_distance"]
    assert ok.loc[~is_ordered, statistics].isna().all(axis=None)
    assert drift.loc[drift["data_status"] != "ok", statistics].isna().all(axis=None)
    ok = ok[is_ordered]
    is_whole = ok["slice_key"] == "all"
    # Each p-value takes scipy milliseconds.
    sample = [ok[is_whole].sample(800, random_state=4), ok[~is_whole].sample(500, random_state=5)]
    sample = pd.concat(sample)
    for row in sample.itertuples():
        reference, current = (side.values for side in row.sides)
        if not len(reference) or not len(current):
            assert np.isnan([getattr(row, name) for name in statistics]).all()
            continue
        exact = stats.ks_2samp(reference, current, method="asymp").statistic
        assert row.ks_statistic - 1e-12 <= exact, row
        assert exact <= row.ks_statistic + row.ks_statistic_error_bound + 1e-12, row
        n = round(len(reference) * len(current) / (len(reference) + len(current)))
        pvalue = stats.kstwo.sf(row.ks_statistic, n)
        assert row.ks_pvalue == pytest.approx(pvalue, rel=1e-6 if pvalue > 1e-12 else 1e-3), row
        # How far values reach is known for whole models alone.
        whole = traffic.sides(row._asdict() | {"slice_key": "all", "slice_value": "all"})[2]
        if any(np.isinf(side.values).any() for side in whole):
            assert np.isnan(row.wasserstein_distance)
            continue
        exact = stats.wasserstein_distance(reference, current)
        bound = row.wasserstein_distance_error_bound
        assert abs(exact - row.wasserstein_distance) <= bound * (1 + 1e-9) + 1e-9, row


def test_psi_of_own_windows(drift, traffic):
    """The 95th percentile of PSI of the windows of the baseline, pooled by the oracle.

    Against the baseline without the days around, up to half of it, a quarter on each side.
    """
    features = [name for name in traffic.places if name in ("carrier", "origin", "scheduled_hour")]
    assert len(features) == 3
    columns = [*SERIES, "window_size", "feature", "comparison"]
    rows = drift[drift["feature"].isin(features) & drift["slice_key"].isin(["all", "origin"])]
    checked = 0
    for key, part in rows.groupby(columns):
        (found,) = set(
            part["psi_own_windows_q95"]
            .astype(object)
            .where(part["psi_own_windows_q95"].notna(), None)
        )
        days, feature, comparison = int(key[5][:-1]), *key[6:]
        series, start, end = traffic.baselines["all", *key[3:5]]

        def counts(first, last, series=series, feature=feature):
            return series.sample(feature, first, last).place_counts()

        values = []
        whole = counts(start, end)
        for first in pd.date_range(start, end - timedelta(days=days)):
            last = first + timedelta(days=days)
            window = counts(first, last)
            if comparison == "previous":
                # The window before is one of the baseline, too.
                if first - timedelta(days=days) < start:
                    continue
                reference = counts(first - timedelta(days=days), first)
            else:
                length = (end - start).days
                reach = timedelta(days=max(0, min(length // 4, (length // 2 - days) // 2)))
                reference = whole - counts(max(first - reach, start), min(last + reach, end))
            if min(reference.sum(), window.sum()) >= truth.MIN_SAMPLES:
                cells = truth.pooled(reference, window, traffic.places[feature].is_single_value)
                values += [truth.psi(*cells)] if cells else []
        if len(values) < 5:
            assert found is None
        else:
            # The place 0.95 (m + 1) of m values in order, between two of them.
            place = min(0.95 * (len(values) + 1), len(values)) - 1
            expected = np.interp(place, np.arange(len(values)), np.sort(values))
            assert found == pytest.approx(expected, rel=1e-9)
            checked += 1
    assert checked > 20


def test_qvalues_and_levels(drift):
    """Benjamini-Hochberg within a window, and the levels that follow."""
    drift = drift.assign(pvalue=drift["ks_pvalue"].fillna(drift["chi2_pvalue"]))
    # KS leaves missing values out: their share has a test of its own.
    has_missing = 0
    is_ordered = drift["feature_type"].isin(["numerical", "prediction"]) & drift["psi"].notna()
    for row in drift[is_ordered].itertuples():
        counts = [
            [len(side.values), size - len(side.values)]
            for side, size in zip(row.sides, (row.reference_size, row.current_size), strict=True)
        ]
        if min(np.sum(counts, axis=0)) == 0:
            continue
        has_missing += 1
        of_missing = stats.chi2_contingency(counts, correction=False).pvalue
        both = of_missing if np.isnan(row.pvalue) else min(2 * min(row.pvalue, of_missing), 1.0)
        drift.loc[row.Index, "pvalue"] = both
    assert has_missing > 20
    window = ["model_name", "model_version", "role", "window_size", "window_end", "comparison"]
    levels = np.select(
        [drift["psi"] >= 0.25, drift["psi"] >= 0.1], ["significant", "moderate"], "none"
    )
    is_noise = (drift["psi"] <= drift["psi_noise_q95"]) | ~(drift["qvalue"] < 0.05)
    is_noise |= drift["psi"] <= drift["psi_own_windows_q95"]
    expected = pd.Series(np.where(is_noise, "none", levels), drift.index, dtype=object)
    is_whole = drift["slice_key"] == "all"
    is_judged = drift["psi"].notna() & is_whole
    flagged = drift[is_judged & (expected != "none")].set_index([*window, "feature"]).index
    of_flagged = pd.MultiIndex.from_frame(drift[[*window, "feature"]]).isin(flagged)
    # Slices are judged where the whole is flagged: the values of one slice are a family.
    is_judged |= drift["psi"].notna() & ~is_whole & of_flagged
    families = 0
    for names, part in (
        (window, drift[is_whole]),
        ([*window, "feature", "slice_key"], drift[~is_whole & of_flagged]),
    ):
        part = part[part["pvalue"].notna()]
        for _, family in part.groupby(names):
            qvalues = stats.false_discovery_control(family["pvalue"])
            np.testing.assert_allclose(family["qvalue"], qvalues, rtol=1e-9, atol=1e-300)
            families += len(family) > 1
    assert families > 100
    has_qvalue = drift["pvalue"].notna() & (is_whole | of_flagged)
    assert drift.loc[~has_qvalue, "qvalue"].isna().all()
    assert drift.loc[~is_judged, "drift_level"].isna().all()
    assert (drift["drift_level"] == expected)[is_judged].all()
    assert set(expected[is_judged]) == {"none", "moderate", "significant"}


# --- Fairness ------------------------------------------------------------------------------------

DIFFERENCES = {
    "demographic_parity_difference": "selection_rate",
    "equal_opportunity_difference": "true_positive_rate",
    "predictive_equality_difference": "false_positive_rate",
    "predictive_parity_difference": "precision",
}
GAPS = [*DIFFERENCES, "demographic_parity_ratio", "equalized_odds_difference"]
FAIRNESS_KEY = [name for name in LABEL_KEY if name != "slice_value"]


def test_fairness(case, groups):
    attributes: dict[tuple, dict[str, truth.Labelled]] = {}
    for key, group in groups.items():
        if key[3] != "all" and len(group.y_true):
            attributes.setdefault((*key[:4], *key[5:]), {})[key[4]] = group
    rows = by_key(case.table("fairness"), *FAIRNESS_KEY, "metric")
    assert rows.keys() == {(*key, metric) for key in attributes for metric in GAPS}
    judged = []
    for key, parts in attributes.items():
        status = truth.label_status(groups[(*key[:3], "all", "all", *key[4:])])
        taking_part = {
            name: group
            for name, group in parts.items()
            if len(group.y_true) >= truth.MIN_SAMPLES
            and len(group.y_true) >= truth.MIN_COVERAGE * group.prediction_count
        }
        if status == "ok" and len(taking_part) < 2:
            status = "insufficient_data"
        found = {metric: rows[(*key, metric)] for metric in GAPS}
        for row in found.values():
            assert row["slice_value"] == "all"
            assert row["group_count"] == len(taking_part)
            assert row["small_group_count"] == len(parts) - len(taking_part)
            assert row["labeled_count"] == sum(len(part.y_true) for part in taking_part.values())
            assert (row["data_status"] == "ok") == (row["value"] is not None)
            if status != "ok":
                assert (row["data_status"], row["is_breached"]) == (status, None)
        if status == "ok":
            judged.append((found, taking_part))
    assert len(judged) > 200
    listed = by_key(case.table("group_metrics"), *LABEL_KEY)
    assert {key[3] for key in listed} == set(LABEL_SLICES)
    for key, row in listed.items():
        group = groups[key]
        assert row["takes_part"] == (group.is_mature and len(group.y_true) >= truth.MIN_SAMPLES)
    assert {row["takes_part"] for row in listed.values()} == {True, False}
    # fairlearn takes its time.
    for found, taking_part in random.Random(7).sample(judged, 30):
        assert_gaps_of_fairlearn(found, taking_part)


def assert_gaps_of_fairlearn(found: dict[str, dict], taking_part: dict[str, truth.Labelled]):
    decided = [group.decided for group in taking_part.values()]
    y_true, y_pred = (np.concatenate([sides[side] for sides in decided]) for side in (0, 1))
    names = np.repeat(list(taking_part), [len(sides[0]) for sides in decided])
    rates = fairlearn_metrics.MetricFrame(
        metrics={
            "selection_rate": fairlearn_metrics.selection_rate,
            "true_positive_rate": fairlearn_metrics.true_positive_rate,
            "false_positive_rate": fairlearn_metrics.false_positive_rate,
            "precision": partial(precision_score, zero_division=np.nan),
        },
        y_true=y_true,
        y_pred=y_pred,
        sensitive_features=names,
    ).by_group
    # fairlearn takes a rate without a denominator for 0; here that group does not count.
    positives = pd.Series(y_true).groupby(names).mean()
    rates.loc[positives == 0, "true_positive_rate"] = np.nan
    rates.loc[positives == 1, "false_positive_rate"] = np.nan
    assert rates["selection_rate"].notna().all()
    expected = {
        metric: rates[rate].max() - rates[rate].min()
        for metric, rate in DIFFERENCES.items()
        if rates[rate].count() >= 2
    }
    if rates["selection_rate"].max() > 0:
        expected["demographic_parity_ratio"] = (
            rates["selection_rate"].min() / rates["selection_rate"].max()
        )
    odds = [
        expected.get(f"{name}_difference") for name in ("equal_opportunity", "predictive_equality")
    ]
    if None not in odds:
        expected["equalized_odds_difference"] = max(odds)
    if rates[["true_positive_rate", "false_positive_rate"]].notna().all(axis=None):
        for metric in ("demographic_parity", "equal_opportunity", "equalized_odds"):
            function = getattr(fairlearn_metrics, f"{metric}_difference")
            gap = function(y_true, y_pred, sensitive_features=names)
            assert expected[f"{metric}_difference"] == pytest.approx(gap, abs=1e-12)
    for metric, row in found.items():
        if metric not in expected:
            assert row["data_status"] == "no_data", metric
            continue
        assert row["value"] == pytest.approx(expected[metric], abs=1e-12), metric
        rate = DIFFERENCES.get(metric)
        if rate:
            assert rates[rate][row["lowest_group"]] == rates[rate].min()
            assert rates[rate][row["highest_group"]] == rates[rate].max()


def test_guardrails(case):
    table = case.table("fairness")
    known = table[table["data_status"] == "ok"]
    assert (known["value_lower"] <= known["value"]).all()
    assert (known["value"] <= known["value_upper"]).all()
    is_guarded = (table["slice_key"] == "origin") & (table["window_size"] == "7d")
    is_guarded &= table["role"] == "live"
    breaches = pd.Series(False, table.index)
    guarded = pd.Series(False, table.index)
    for guardrail in GUARDRAILS:
        rows = is_guarded & (table["metric"] == guardrail["metric"])
        objective = float(guardrail["objective"])
        assert (table.loc[rows, "guardrail"] == objective).all() and rows.any()
        # Only a whole interval beyond the guardrail is a breach.
        if guardrail["comparator"] == ">=":
            breaches |= rows & (table["value_upper"] < objective)
        else:
            breaches |= rows & (table["value_lower"] > objective)
        guarded |= rows
    assert table.loc[~guarded, ["guardrail", "is_breached"]].isna().all(axis=None)
    judged = guarded & (table["data_status"] == "ok")
    assert (table.loc[judged, "is_breached"].astype(bool) == breaches[judged]).all()
    assert breaches[judged].any() and not breaches[judged].all()


# --- The long table ------------------------------------------------------------------------------

HOMES = {
    "model_performance": (["roc_auc", "average_precision", *list(TOLERANCE)[:10]], ["label_view"]),
    "calibration": (
        ["ece", "ece_noise_floor", "ece_excess", "mce", "mean_score", "calibration_slope"],
        ["label_view"],
    ),
    "feature_drift": (
        ["psi", "js_distance", "current_null_rate", "ks_statistic", "wasserstein_distance"],
        ["feature", "comparison"],
    ),
}
LONG_BOUNDS = BOUNDS | {
    "ks_statistic": "ks_statistic_error_bound",
    "wasserstein_distance": "wasserstein_distance_error_bound",
}


@pytest.mark.parametrize("home", [*HOMES, "fairness"])
def test_metrics_repeat_their_home_tables(case, home):
    if home == "fairness":
        expected, names = case.table(home), ["label_view"]
        expected["error_bound"] = np.where(expected["value"].notna(), 0.0, np.nan)
    else:
        metrics, names = HOMES[home]
        table, parts = case.table(home), []
        for metric in metrics:
            part = table[[*WINDOW, "window_start", *names]].assign(
                metric=metric, value=table[metric], data_status=table["data_status"]
            )
            bound = table[LONG_BOUNDS[metric]] if metric in LONG_BOUNDS else 0.0
            part["error_bound"] = np.where(table[metric].notna(), bound, np.nan)
            if metric in ("ks_statistic", "wasserstein_distance"):
                part = part[table["feature_type"].isin(["numerical", "prediction"])]
            parts.append(part)
        expected = pd.concat(parts)
    keys = [*WINDOW, *names, "metric"]
    metrics = ", ".join(f"'{metric}'" for metric in expected["metric"].unique())
    found = case.warehouse.frame(
        f"select * from ml_monitoring.monitoring_metrics where home_table = '{home}'"
        f" and metric in ({metrics}) and slice_key <> 'carrier'"
    )
    expected = expected[expected["slice_key"] != "carrier"]
    found = found.sort_values(keys, ignore_index=True)
    expected = expected.sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(
        found[[*keys, "value", "error_bound"]],
        expected[[*keys, "value", "error_bound"]],
        check_exact=True,
        check_dtype=False,
    )
    assert (found["value"].notna() == (found["data_status"] == "ok")).all()

    # The month before: rows of the same metric that end in (start - 30 days, start].
    series = [name for name in keys if name != "window_end"]
    long = dict(iter(expected[expected["window_size"] == "1d"].groupby(series)))
    checked = 0
    daily = found[found["window_size"] == "1d"]
    has_mean = daily["baseline_mean"].notna()
    sample = pd.concat(
        [
            daily[has_mean].sample(min(has_mean.sum(), 300), random_state=8),
            daily[~has_mean].sample(300, random_state=9),
        ]
    )
    for row in sample.itertuples():
        same = long[tuple(getattr(row, name) for name in series)]
        start = row.window_start
        is_before = (same["window_end"] <= start) & (same["window_end"] > start - timedelta(30))
        before = same.loc[is_before, "value"].dropna()
        if len(before) < 7:
            assert np.isnan([row.baseline_mean, row.baseline_stddev]).all()
            continue
        assert row.baseline_mean == pytest.approx(before.mean(), rel=1e-9, abs=1e-12)
        spread = before.std()
        if np.isinf(spread):
            assert np.isnan(row.baseline_stddev)
        else:
            assert row.baseline_stddev == pytest.approx(spread, rel=1e-6, abs=1e-9)
        if not np.isnan(row.value):
            assert row.change_vs_baseline == pytest.approx(row.value - before.mean(), abs=1e-9)
        checked += 1
    assert checked > 20
