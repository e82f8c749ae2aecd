"""Estimates of a regression, of models that have none, and why an estimate is missing."""

import copy
import json
import math
import random
from bisect import bisect_left
from datetime import datetime, timedelta
from operator import itemgetter

import pytest

from tests.integration.warehouse import MODEL, TARGET, Warehouse, event, label

START = datetime(2024, 1, 1)
DAYS = 16
AS_OF = START + timedelta(days=DAYS)
MODELS = [
    MODEL | {"name": name, "task": task, "slices": []}
    for name, task in (
        ("price", "regression"),
        ("kind", "multiclass_classification"),
        ("rare", "binary_classification"),
    )
]
SETTINGS = {"estimation_reference_days": 5, "performance_windows_days": [1, 3], "min_samples": 20}


def requests(rng):
    """What each model answered, and the versions of its label: (model, day, score, labels)."""
    for day in range(DAYS):
        for _ in range(60):
            # Large predictions are off by more, and come late in the month.
            score = rng.lognormvariate(3 + day / 20, 1)
            first = (score + rng.gauss(0, 1 + score / 5), rng.uniform(1, 60))
            second = (first[0] + rng.choice([-5, 5]), first[1] + rng.uniform(1, 100))
            number = rng.random()
            labels = [] if number < 0.1 else [first] if number < 0.8 else [first, second]
            yield "price", day, None if number > 0.98 else score, labels
        for _ in range(25):
            yield "kind", day, rng.random(), [(rng.choice(["a", "b"]), 1)]
        # No label of 1 before the sixth day, and few on the next days; no score on the last day.
        for _ in range(25 if day < 14 else 3):
            score = None if day == DAYS - 1 else rng.random()
            yield "rare", day, score, [(int(day > 4 and rng.random() < 0.2), 1)]


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    rng = random.Random(6)
    warehouse = Warehouse(
        tmp_path_factory.mktemp("estimates"),
        {"monitored_models": copy.deepcopy(MODELS), "as_of": f"{AS_OF:%F}"} | SETTINGS,
    )
    rows, events, labels = [], [], []
    for number, (model, day, score, versions) in enumerate(requests(rng)):
        ts = START + timedelta(days=day, seconds=rng.uniform(0, 86399))
        request_id = f"r{number}"
        prediction = "a" if model == "kind" else None
        events.append(
            event(
                request_id, ts=f"{ts.isoformat()}Z", model=model, score=score, prediction=prediction
            )
        )
        known = [
            (ts.replace(microsecond=0) + timedelta(seconds=round(hours * 3600)), value)
            for value, hours in versions
        ]
        known = [(at, value) for at, value in known if at <= AS_OF]
        labels += [
            label(request_id, label=value, labeled_at=f"{at.isoformat()}Z", model=model)
            for at, value in known
        ]
        rows.append((model, ts, score, known))
    warehouse.write("inference_events/all.jsonl", events)
    warehouse.write("labels/all.jsonl", sorted(labels, key=itemgetter("labeled_at")))
    target = {"model_name": "price", "window_size": "1d", "severity": "ticket"}
    named = {"metric": "estimated_mae", "slo_name": "errors", "objective": "1"}
    warehouse.own("slo_targets", TARGET, [target | named])
    build = warehouse.build()
    assert build.exit_code == 0, build.end
    return warehouse, rows


def estimates(case, model, *columns):
    warehouse, _ = case
    return warehouse.query(
        f"select window_size, window_start, window_end, metric, {', '.join(columns)}"
        " from ml_monitoring.estimated_performance where model_name = ? order by all",
        model,
    )


def as_of(known, moment):
    """The label that was the newest at a moment."""
    return next((value for at, value in reversed(known) if at <= moment), None)


def test_errors_of_a_regression(case):
    warehouse, rows = case
    [(edges,)] = warehouse.query(
        "select edges from ml_monitoring_internal.int_baseline_bins"
        " where model_name = 'price' and feature = 'score'"
    )
    scored = [
        (ts, score, bisect_left(edges, score), known)
        for model, ts, score, known in rows
        if model == "price" and score is not None
    ]
    found = estimates(
        case,
        "price",
        "value",
        "reference_value",
        "realised_value",
        "prediction_count",
        "reference_labeled_count",
        "data_status",
    )
    assert {row[3] for row in found} == {"estimated_mae", "estimated_rmse"}
    assert len(found) == 2 * (DAYS + DAYS)
    moved = []
    for _, start, end, metric, value, reference, realised, count, told, status in found:
        power = 1 if metric == "estimated_mae" else 2
        window = [row for row in scored if start <= row[0] < end]
        midnight = end - timedelta(days=2)
        errors = {}
        for ts, score, place, known in scored:
            if start - timedelta(days=5) <= ts < min(start, midnight):
                answer = as_of(known, midnight + timedelta(hours=48))
                if answer is not None:
                    errors.setdefault(place, []).append(abs(score - answer) ** power)
        assert count == len(window)
        assert told == sum(map(len, errors.values()))
        if told < 20:
            assert status == ("insufficient_data" if told else "no_baseline")
            assert value is reference is None
            continue
        assert status == "ok"
        expected = [at_bin(errors, place) for _, _, place, _ in window]
        assert value == pytest.approx((sum(expected) / count) ** (1 / power))
        before = sum(map(sum, errors.values())) / told
        assert reference == pytest.approx(before ** (1 / power))
        newest = [abs(score - known[-1][1]) ** power for _, score, _, known in window if known]
        if len(newest) >= 0.5 * len(
            [row for row in rows if row[0] == "price" and start <= row[1] < end]
        ):
            assert realised == pytest.approx((sum(newest) / len(newest)) ** (1 / power))
            moved.append((abs(value - realised), abs(reference - realised)))
        else:
            assert realised is None
    assert len(moved) > 20
    # Predictions rise, and with them their errors: the estimate knows, the reference does not.
    assert sum(estimate for estimate, _ in moved) < sum(plain for _, plain in moved)


def at_bin(errors, place):
    """The mean error of a bin; of an empty one between those of its neighbours."""
    means = {filled: sum(found) / len(found) for filled, found in errors.items()}
    below = max((filled for filled in means if filled <= place), default=min(means))
    above = min((filled for filled in means if filled >= place), default=max(means))
    if below == above or not below <= place <= above:
        return means[below if place > below else above]
    share = (place - below) / (above - below)
    return (1 - share) * means[below] + share * means[above]


def test_intervals_of_a_regression(case):
    rows = estimates(case, "price", "value", "value_lower", "value_upper", "past_window_count")
    told = [row for row in rows if row[5] is not None]
    assert told
    for *_, value, lower, upper, count in told:
        assert count >= 7
        assert 0 <= lower < value < upper
        assert lower == 0 or math.isclose(value - lower, upper - value)


def test_models_of_many_classes_have_none(case):
    rows = estimates(case, "kind", "value", "value_lower", "realised_value", "data_status")
    assert len(rows) == 6 * (DAYS + DAYS)
    assert {(*row[4:6], row[7]) for row in rows} == {(None, None, "not_applicable")}
    # What model_performance has of them is there all the same.
    realised = {row[3].removeprefix("estimated_") for row in rows if row[6] is not None}
    assert realised == {"accuracy"}


def test_why_an_estimate_is_missing(case):
    found = {
        (size, end.day, metric.removeprefix("estimated_")): status
        for size, _, end, metric, status in estimates(case, "rare", "data_status")
    }
    # Of the first two days no label was known for certain; then all were 0; then few were 1.
    assert found["1d", 2, "roc_auc"] == found["1d", 3, "roc_auc"] == "no_baseline"
    assert found["1d", 4, "accuracy"] == found["1d", 8, "accuracy"] == "single_class"
    assert found["1d", 9, "accuracy"] == "insufficient_data"
    assert found["3d", 14, "accuracy"] == "ok"
    assert found["1d", 16, "accuracy"] == "insufficient_data"
    assert found["1d", 17, "accuracy"] == "no_data"
    # Under 10 positives are to be expected of 25 predictions.
    assert found["1d", 14, "accuracy"] == "ok"
    assert found["1d", 14, "roc_auc"] == "insufficient_data"


def test_estimates_are_metrics(case):
    warehouse, _ = case
    both = warehouse.query(
        """
        select metrics.value, estimates.value, metrics.value_upper, estimates.value_upper,
            metrics.sample_count, estimates.prediction_count
        from ml_monitoring.estimated_performance as estimates
        full join ml_monitoring.monitoring_metrics as metrics
            using (model_name, window_size, window_end, metric)
        where metrics.home_table = 'estimated_performance' or metrics.home_table is null
        """
    )
    assert len(both) == 2 * 2 * DAYS + 2 * 6 * 2 * DAYS
    assert all(row[0::2] == row[1::2] for row in both)
    # And targets judge them, before there are labels.
    [(newest,)] = warehouse.query(
        "select value from ml_monitoring.estimated_performance where window_end = ?"
        " and model_name = 'price' and metric = 'estimated_mae' and window_size = '1d'",
        AS_OF,
    )
    [judged] = warehouse.query("select sli_value, is_breached from ml_monitoring.slo_status")
    assert judged == (newest, True)


def test_step_by_step_equals_at_once(case, tmp_path):
    """Built with what had come by the 12th, events of the 9th left out, then with everything."""
    whole, _ = case
    stepwise = Warehouse(tmp_path, copy.deepcopy(whole.vars) | {"landing_path": ""})
    stepwise.vars["landing_path"] = str(stepwise.landing)
    lines = {
        name: (whole.landing / name / "all.jsonl").read_text().splitlines()
        for name in ("inference_events", "labels")
    }
    known = [line for line in lines["labels"] if json.loads(line)["labeled_at"] < "2024-01-12"]
    past = [line for line in lines["inference_events"] if json.loads(line)["ts"] < "2024-01-12"]
    late = [line for line in past if "2024-01-09" <= json.loads(line)["ts"] < "2024-01-10"]
    stepwise.write("labels/all.jsonl", known)
    stepwise.write("inference_events/all.jsonl", [line for line in past if line not in set(late)])
    found = []
    for as_of_step in ("2024-01-12", f"{AS_OF:%F}"):
        stepwise.vars["as_of"] = as_of_step
        run = stepwise.dbt("run", "--select", "+estimated_performance")
        assert run.exit_code == 0, run.end
        found.append(stepwise.query("from ml_monitoring.estimated_performance order by all"))
        stepwise.write("labels/all.jsonl", lines["labels"])
        stepwise.write("inference_events/all.jsonl", lines["inference_events"])
    expected = whole.query("from ml_monitoring.estimated_performance order by all")
    assert found[1] == expected
    # Windows of before that the late events and labels are in have moved, others have not.
    before, after = set(found[0]), {row for row in expected if row[7] <= datetime(2024, 1, 12)}
    assert before & after
    assert before - after
    assert {row[-1] for row in before} >= {"ok", "no_baseline"}
