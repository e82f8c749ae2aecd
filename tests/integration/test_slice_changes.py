"""slice_changes and label_view_changes against plain Python on the landing records."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from tests import slice_oracle as oracle
from tests.integration.warehouse import MODEL, Warehouse, event, label

START, END = datetime(2024, 1, 1), datetime(2024, 1, 18)
BASELINE_END = datetime(2024, 1, 9)
GRACE, SKEW = timedelta(hours=48), timedelta(minutes=60)
SIZES = [1, 3, 7, 10]
VARS = {
    "monitored_models": [
        MODEL | {"baseline": {"start": f"{START:%F}", "end": f"{BASELINE_END:%F}"}}
    ],
    "as_of": f"{END:%F}",
    "performance_windows_days": SIZES,
}
WORSE = {"accuracy": -1, "true_positive_rate": -1, "precision": -1, "roc_auc": -1} | {
    "false_positive_rate": 1,
    "brier_score": 1,
}


@dataclass
class Prediction:
    request_id: str
    ts: datetime
    slices: dict[str, str]
    score: float | None
    predicted: int
    labels: list[tuple[datetime, int]] = field(default_factory=list)

    @property
    def day(self) -> datetime:
        return datetime(self.ts.year, self.ts.month, self.ts.day)

    def known(self, until: datetime) -> int | None:
        known = [value for at, value in sorted(self.labels) if at <= until]
        return known[-1] if known else None


def make_predictions(seed: int) -> list[Prediction]:
    """`pro` gets worse on the 11th, `new` comes and `gone` goes; labels late and corrected."""
    rng = random.Random(seed)
    found = []
    for number in range(17 * 260):
        ts = START + timedelta(days=number // 260, seconds=rng.randrange(86400))
        is_late_period = ts >= datetime(2024, 1, 11)
        plan = rng.choices(
            ["basic", "pro", "rare", "new" if is_late_period else "gone", None], [55, 30, 3, 9, 3]
        )[0]
        country = rng.choices(["de", "fr"], [80, 20] if is_late_period else [50, 50])[0]
        # In a bin each: AUC of bins is that of scores.
        score = rng.randrange(10) / 10 + 0.05
        chance = 0.5 if plan == "pro" and is_late_period else score
        truth = int(rng.random() < chance)
        prediction = Prediction(
            f"r{number}",
            ts,
            {"plan": plan or "(missing)", "country": country},
            score if rng.random() < 0.98 else None,
            int(rng.random() < 0.1) ^ int(score >= 0.5),
        )
        kind = rng.random()
        # Most of the labels of one day never come.
        if kind < 0.93 and not (ts.day == 14 and rng.random() < 0.7):
            # Positives come late more often than others.
            delay = (
                rng.uniform(60, 160) if rng.random() < 0.03 + 0.1 * truth else rng.uniform(1, 40)
            )
            at = ts + timedelta(hours=delay)
            prediction.labels.append((at, truth))
            while rng.random() < 0.08:
                at += timedelta(hours=rng.choice([0.5, 30, 100]))
                prediction.labels.append((at, int(rng.random() < 0.5)))
        found.append(prediction)
    return found


def write(warehouse: Warehouse, name: str, predictions: list[Prediction], labels: bool) -> None:
    if labels:
        records = [
            label(part.request_id, label=value, labeled_at=f"{at.isoformat()}Z")
            for part in predictions
            for at, value in part.labels
        ]
        warehouse.write(f"labels/{name}.jsonl", records)
        return
    records = []
    for part in predictions:
        plan = part.slices["plan"]
        features = {"age": 30, "is_new": True, "plan": None if plan == "(missing)" else plan}
        records.append(
            event(
                part.request_id,
                ts=f"{part.ts.isoformat()}Z",
                score=part.score,
                prediction=part.predicted,
                features=features,
                attributes={"country": part.slices["country"]},
            )
        )
    warehouse.write(f"inference_events/{name}.jsonl", records)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    warehouse = Warehouse(tmp_path_factory.mktemp("slices"), VARS)
    predictions = make_predictions(1)
    write(warehouse, "all", predictions, labels=False)
    write(warehouse, "all", predictions, labels=True)
    build = warehouse.dbt("build", "--exclude-resource-type", "unit_test", "--select",
                          "+slice_changes", "+label_view_changes", "calibration")  # fmt: skip
    assert build.exit_code == 0, build.end
    return warehouse, predictions


# --- Slices --------------------------------------------------------------------------------------


@dataclass
class Members:
    """Labelled predictions as arrays; the day is a number."""

    y: np.ndarray
    score: np.ndarray
    predicted: np.ndarray
    day: np.ndarray

    @classmethod
    def of(cls, rows: list[tuple[Prediction, int, int]]) -> "Members":
        return cls(
            np.array([y for _, y, _ in rows], bool),
            np.array([p.score if p.score is not None else np.nan for p, _, _ in rows], float),
            np.array([p.predicted for p, _, _ in rows], bool),
            np.array([day for _, _, day in rows], int),
        )

    def of_metric(self, metric: str):
        """What the metric is a mean of, with days; for AUC scores and labels."""
        has_score = ~np.isnan(self.score)
        if metric == "roc_auc":
            return self.score[has_score], self.y[has_score], self.day[has_score]
        if metric == "brier_score":
            return ((self.score - self.y) ** 2)[has_score], self.day[has_score]
        hit, among = {
            "accuracy": (self.y == self.predicted, self.y | True),
            "true_positive_rate": (self.predicted, self.y),
            "false_positive_rate": (self.predicted, ~self.y),
            "precision": (self.y, self.predicted),
            "selection_rate": (self.predicted, self.y | True),
        }[metric]
        return hit[among].astype(float), self.day[among]


def expected_row(
    metric, own, rest, own_before, rest_before, labels, labels_before, is_covered, n_days
):
    """Status and values of one slice."""
    parts = [part.of_metric(metric) for part in (own, rest, own_before, rest_before)]
    sizes = [len(part[0]) for part in parts]
    values = {"sample_count": sizes[0], "reference_sample_count": sizes[2]}
    classes = [n for s, y, _ in parts for n in (y.sum(), (~y).sum())] if metric == "roc_auc" else []
    if not labels:
        return values | {"data_status": "no_data"}
    if not labels_before:
        return values | {"data_status": "no_baseline"}
    if not is_covered:
        return values | {"data_status": "immature"}
    if min(sizes) < 50:
        return values | {"data_status": "insufficient_data"}
    if classes and min(classes) == 0:
        return values | {"data_status": "single_class"}
    if classes and min(classes) < 10:
        return values | {"data_status": "insufficient_data"}
    if metric == "roc_auc":
        sides = [oracle.of_scores(s, y) for s, y, _ in parts]
        gaps = [oracle.influence_on_auc(*part, n_days) for part in parts[2:]]
    else:
        one = oracle.of_members if metric == "brier_score" else oracle.of_rate
        sides = [one(part[0]) for part in parts]
        gaps = [oracle.influence_on_mean(*part, n_days) for part in parts[2:]]
    if metric not in ("roc_auc", "brier_score"):
        chance = min(max(sides[2][0] + sides[1][0] - sides[3][0], 0), 1)
        rates = [(chance, sizes[0])] + [(sides[n][0], sizes[n]) for n in (1, 2, 3)]
        if min(n * min(p, 1 - p) for p, n in rates) < 5:
            return values | {"data_status": "insufficient_data"}
    found = oracle.comparison(sides[:2], sides[2:], gaps[0] - gaps[1], n_days)
    status = "ok" if found["standard_error"] > 0 else "not_estimable"
    return values | {"data_status": status, "value": sides[0][0], "reference_value": sides[2][0]} | found  # noqa: E501  # fmt: skip


def expected_slices(predictions) -> dict[tuple, dict]:
    rows: dict[tuple, dict] = {}
    as_of = END + SKEW
    for size in SIZES:
        length = (BASELINE_END - START).days
        n_days = length // size * size
        if not n_days:
            continue
        for view in ("as_known", "latest"):
            before = []
            for part in predictions:
                day = (BASELINE_END - part.day).days - 1
                if 0 <= day < n_days:
                    tile = BASELINE_END - timedelta(days=day // size * size)
                    y = part.known(min(tile + GRACE, as_of) if view == "as_known" else as_of)
                    if y is not None:
                        before.append((part, y, n_days - 1 - day))
            for number in range((END - BASELINE_END).days - size + 1):
                end = BASELINE_END + timedelta(days=size + number)
                inside = [p for p in predictions if end - timedelta(days=size) <= p.day < end]
                until = min(end + GRACE, as_of) if view == "as_known" else as_of
                now = [(p, y, 0) for p in inside if (y := p.known(until)) is not None]
                is_immature = len(now) < 0.5 * len(inside) or (
                    view == "as_known" and end + GRACE > END
                )
                for metric in (*WORSE, "selection_rate"):
                    family = {}
                    for key in ("plan", "country"):
                        family |= expected_family(metric, key, now, before, inside, n_days)
                    tested = [k for k, row in family.items() if row["data_status"] == "ok"]
                    if tested:
                        q = stats.false_discovery_control([family[k]["pvalue"] for k in tested])
                        sign = WORSE.get(metric, 0)
                        order = sorted(tested, key=lambda k: (-badness(family[k], sign), k))
                        for k, value in zip(tested, q, strict=True):
                            family[k] |= {"qvalue": value, "slice_rank": order.index(k) + 1}
                    for k, row in family.items():
                        if is_immature:
                            status = row["data_status"]
                            row = {n: row[n] for n in COUNTS} | {
                                "data_status": status
                                if status in ("no_data", "no_baseline")
                                else "immature"
                            }
                        rows[(*k, f"{size}d", end, view, metric)] = row
    return rows


COUNTS = ("labeled_count", "reference_labeled_count", "sample_count", "reference_sample_count")


def badness(row, sign) -> float:
    # Of two slices that are all of the model, one is the rest of the other.
    difference = round(row["difference_in_changes"], 12)
    return abs(difference) if not sign else sign * difference


def expected_family(metric, key, now, before, inside, n_days) -> dict[tuple, dict]:
    names = {part.slices[key] for part, _, _ in now + before}
    whole, whole_before = (Members.of(part).of_metric(metric)[0] for part in (now, before))
    found = {}
    for name in names:
        sides = [
            Members.of([row for row in rows if (row[0].slices[key] == name) == own])
            for rows in (now, before)
            for own in (True, False)
        ]
        own, rest, own_before, rest_before = sides
        of_slice = sum(part.slices[key] == name for part in inside)
        row = expected_row(
            metric, own, rest, own_before, rest_before, len(own.y), len(own_before.y),
            len(own.y) >= 0.5 * of_slice, n_days,
        )  # fmt: skip
        row |= {"labeled_count": len(own.y), "reference_labeled_count": len(own_before.y)}
        if metric != "roc_auc" and min(len(whole), len(whole_before)) >= 50:
            # Of each slice: share x (value - middle), now less before.
            middle = (whole.mean() + whole_before.mean()) / 2
            values, values_before = (part.of_metric(metric)[0] for part in (own, own_before))
            row["contribution"] = (values - middle).sum() / len(whole) - (
                values_before - middle
            ).sum() / len(whole_before)
            row["whole_change"] = whole.mean() - whole_before.mean()
            share, share_before = len(values) / len(whole), len(values_before) / len(whole_before)
            is_in_both = len(values) and len(values_before)
            row["rate_effect"] = (
                (share + share_before) / 2 * (values.mean() - values_before.mean())
                if is_in_both
                else 0.0
            )
            row["mix_effect"] = row["contribution"] - row["rate_effect"]
        found[key, name] = row
    return found


VALUES = (
    "value", "reference_value", "change", "rest_change", "difference_in_changes", "standard_error",
    "design_effect", "pvalue", "qvalue", "slice_rank", "rate_effect", "mix_effect", "contribution",
    "whole_change",
)  # fmt: skip


def read_slices(warehouse) -> dict[tuple, dict]:
    columns = (*COUNTS, *VALUES, "data_status")
    rows = warehouse.query(f"""
        select slice_key, slice_value, window_size, window_end, label_view, metric,
            {", ".join(columns)}
        from ml_monitoring.slice_changes
    """)
    return {row[:6]: dict(zip(columns, row[6:], strict=True)) for row in rows}


def test_slices_are_compared_as_by_hand(case):
    warehouse, predictions = case
    found, expected = read_slices(warehouse), expected_slices(predictions)
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        assert found[key]["data_status"] == row["data_status"], key
        for name in COUNTS:
            assert found[key][name] == row[name], (key, name)
        for name in VALUES:
            # Sums of squared errors are kept in units of 2^-30.
            value = None if row.get(name) is None else pytest.approx(row[name], rel=2e-6, abs=1e-8)
            assert found[key][name] == value, (key, name)
    statuses = {row["data_status"] for row in expected.values()}
    assert statuses >= {"ok", "no_data", "no_baseline", "immature", "insufficient_data"}


def test_the_slice_that_fell_is_found_and_its_part_is_its_own(case):
    warehouse, _ = case
    rows = warehouse.query("""
        select slice_value, qvalue < 0.05, rate_effect < whole_change / 2
        from ml_monitoring.slice_changes
        where metric = 'roc_auc' and window_size = '3d' and slice_rank = 1
            and window_start = '2024-01-12' and label_view = 'latest'
        union all
        select slice_value, qvalue < 0.05, rate_effect < whole_change / 2
        from ml_monitoring.slice_changes
        where metric = 'accuracy' and window_size = '7d' and slice_rank = 1
            and window_end = '2024-01-18' and label_view = 'latest'
    """)
    assert rows == [("pro", True, None), ("pro", True, True)]


# --- Label views ---------------------------------------------------------------------------------


def metric_of(name, y, score, predicted):
    """One metric by scikit-learn; NaN where it is undefined or rests on too few."""
    scored = [(a, s) for a, s in zip(y, score, strict=True) if s is not None]
    ys, ss = np.array([a for a, _ in scored]), np.array([s for _, s in scored])
    if name in ("roc_auc", "average_precision"):
        if len(ys) < 50 or min(sum(ys), len(ys) - sum(ys)) < 10:
            return np.nan
        return {"roc_auc": sk.roc_auc_score, "average_precision": sk.average_precision_score}[name](ys, ss)  # noqa: E501  # fmt: skip
    if name in ("brier_score", "log_loss"):
        if len(ys) < 50:
            return np.nan
        return {"brier_score": sk.brier_score_loss, "log_loss": sk.log_loss}[name](ys, ss)
    if name == "ece":
        if len(ys) < 50:
            return np.nan
        return sum(abs(sum(ys[ss == s] - s)) for s in set(ss)) / len(ys)
    if len(y) < 50:
        return np.nan
    y, predicted = np.array(y), np.array(predicted)
    return {
        "positive_rate": lambda: y.mean(),
        "accuracy": lambda: (y == predicted).mean(),
        "selection_rate": lambda: predicted.mean(),
        "precision": lambda: sk.precision_score(y, predicted),
        "recall": lambda: sk.recall_score(y, predicted),
        "f1": lambda: sk.f1_score(y, predicted),
        "false_positive_rate": lambda: predicted[y == 0].mean(),
    }[name]()


METRICS = (
    "roc_auc", "average_precision", "brier_score", "log_loss", "ece", "positive_rate", "accuracy",
    "selection_rate", "precision", "recall", "f1", "false_positive_rate",
)  # fmt: skip


def test_what_separates_the_label_views(case):
    warehouse, predictions = case
    table = warehouse.frame("select * from ml_monitoring.label_view_changes")
    found = {
        (row["window_size"], row["window_end"].to_pydatetime(), row["metric"]): row
        for row in table.to_dict("records")
    }
    as_of = END + SKEW
    keys, tested, corrected_rows = set(), 0, 0
    for size in SIZES:
        for number in range((END - START).days):
            end = START + timedelta(days=number + 1)
            inside = [p for p in predictions if end - timedelta(days=size) <= p.day < end]
            until = min(end + GRACE, as_of)
            known = [p for p in inside if p.known(until) is not None]
            late = [p for p in inside if p.known(until) is None and p.known(as_of) is not None]
            turned = [(p.known(until), p.known(as_of)) for p in known]
            sets = {
                "as_known": [(p, p.known(until)) for p in known],
                "corrected": [(p, p.known(as_of)) for p in known],
                "latest": [(p, p.known(as_of)) for p in known + late],
            }
            counts = {
                "labeled_count_as_known": len(known),
                "labeled_count_latest": len(known) + len(late),
                "corrected_count": sum(a != b for a, b in turned),
                "turned_positive_count": turned.count((0, 1)),
                "turned_negative_count": turned.count((1, 0)),
                "late_count": len(late),
            }
            is_mature = end + GRACE <= END and len(known) >= 0.5 * len(inside)
            for metric in METRICS:
                key = (f"{size}d", end, metric)
                keys.add(key)
                row = found[key]
                assert {name: row[name] for name in counts} == counts, key
                values = {
                    view: metric_of(
                        metric,
                        [y for _, y in rows],
                        [p.score for p, _ in rows],
                        [p.predicted for p, _ in rows],
                    )
                    if rows
                    else np.nan
                    for view, rows in sets.items()
                }
                is_known = is_mature and not np.isnan(list(values.values())).any()
                assert (row["data_status"] == "ok") == is_known, key
                if not is_known:
                    assert np.isnan(row["difference"])
                    continue
                for view, value in values.items():
                    assert row[f"value_{view}"] == pytest.approx(value, abs=1e-8), (key, view)
                parts = row["difference_by_corrections"] + row["difference_by_late_labels"]
                assert parts == pytest.approx(row["difference"], abs=1e-15)
                assert row["difference"] == pytest.approx(
                    values["latest"] - values["as_known"], abs=1e-8
                )
                corrected_rows += counts["corrected_count"] > 0
            tested += check_late(found[f"{size}d", end, "accuracy"], sets["corrected"], late, as_of)
    assert found.keys() == keys
    assert corrected_rows > 100
    assert tested > 10
    # Here late labels are positive more often, and the test says so.
    last = found["10d", END - timedelta(days=3), "positive_rate"]
    assert last["late_positive_rate"] > last["early_positive_rate"]
    assert last["late_positive_rate_pvalue"] < 0.01


def check_late(row, early, late, as_of) -> bool:
    """Compare the two sides of a window; whether there was a test."""
    sides = {"early": early, "late": [(p, p.known(as_of)) for p in late]}
    for name, hit in (
        ("positive_rate", lambda _, y: y),
        ("accuracy", lambda p, y: int(p.predicted == y)),
    ):
        hits = {side: [hit(*pair) for pair in rows] for side, rows in sides.items()}
        for side, values in hits.items():
            value = pytest.approx(np.mean(values)) if values else pytest.approx(np.nan, nan_ok=True)
            assert row[f"{side}_{name}"] == value
        table = [[sum(v), len(v) - sum(v)] for v in hits.values()]
        expected = stats.contingency.expected_freq(table) if all(hits.values()) else np.zeros(1)
        if expected.min() < 5:
            assert np.isnan(row[f"late_{name}_pvalue"])
        else:
            pvalue = stats.chi2_contingency(table, correction=False).pvalue
            assert row[f"late_{name}_pvalue"] == pytest.approx(pvalue, rel=1e-6)
    pvalues = [row["late_positive_rate_pvalue"], row["late_accuracy_pvalue"]]
    status = "no_data" if not late or not early else "ok"
    if status == "ok" and np.isnan(pvalues).all():
        status = "insufficient_data"
    assert row["late_status"] == status
    return status == "ok"


# --- Incremental ---------------------------------------------------------------------------------


def snapshot(warehouse) -> dict[str, list]:
    return {
        name: warehouse.query(f"select * from ml_monitoring.{name} order by all")
        for name in ("slice_changes", "label_view_changes")
    }


def test_a_late_label_of_the_baseline_changes_what_is_compared_with_it(case, tmp_path):
    """Incremental builds, in parts and out of order, are the full build."""
    _, predictions = case
    warehouse = Warehouse(tmp_path, VARS)
    selection = ("run", "--select", "+slice_changes", "+label_view_changes")

    def run(*arguments, **more):
        build = warehouse.dbt(*selection, *arguments, **more)
        assert build.exit_code == 0, build.end

    first = [part for part in predictions if part.day < datetime(2024, 1, 13)]
    late = [part for part in first if part.day < datetime(2024, 1, 4)][::7]
    write(warehouse, "first", first, labels=False)
    write(warehouse, "first", [part for part in first if part not in late], labels=True)
    run(as_of="2024-01-13")
    # The baseline of the version is over; nothing changes where nothing is new.
    write(warehouse, "rest", predictions[len(first) :], labels=False)
    write(warehouse, "rest", predictions[len(first) :], labels=True)
    run()
    before = snapshot(warehouse)
    held = warehouse.query("select rowid from ml_monitoring_internal.int_slice_changes")
    run()
    assert warehouse.query("select rowid from ml_monitoring_internal.int_slice_changes") == held
    write(warehouse, "late", late, labels=True)
    run()
    after = snapshot(warehouse)
    assert after != before
    run("--full-refresh")
    assert snapshot(warehouse) == after
