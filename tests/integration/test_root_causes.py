"""root_cause_contributions against plain Python on the landing records, with planted causes."""

import math
import random
from collections import defaultdict
from datetime import datetime, timedelta
from itertools import pairwise

import duckdb
import numpy as np
import pytest
from sklearn import metrics as sk

import root_cause_tables
from tests.integration.warehouse import MODEL, RULE, Warehouse, event, label

START, END = datetime(2024, 1, 8), datetime(2024, 1, 26)
BASELINE_END = datetime(2024, 1, 12)
GRACE, SKEW = timedelta(hours=48), timedelta(minutes=60)
PRO = "o'pro <b> x"
RULES = [
    {"alert_name": "errors", "metric": "error_rate", "threshold": "0.08", "min_requests": "10"},
    {"alert_name": "slowness", "metric": "latency_p95_ms", "threshold": "100", "window_size": "6h",
     "slice_key": "country"},
    {"alert_name": "auc", "metric": "roc_auc", "comparator": "<", "threshold": "0.83",
     "window_size": "3d", "min_requests": "100"},
    {"alert_name": "corrections", "metric": "label_correction_rate", "role": "all",
     "threshold": "0.2"},
    {"alert_name": "traffic", "metric": "request_count", "comparator": ">", "threshold": "5"},
]  # fmt: skip
VARS = {
    "monitored_models": [
        MODEL | {"baseline": {"start": f"{START:%F}", "end": f"{BASELINE_END:%F}"}}
    ],
    "as_of": f"{END:%F}",
    "performance_windows_days": [3],
}


def hour(day: int, at: int) -> datetime:
    return datetime(2024, 1, day, at)


def make_records(seed: int) -> list[dict]:
    """Errors of one plan, a slow pair of slices, scores of one country that say nothing."""
    rng = random.Random(seed)
    found = []
    for number in range(int((END - START) / timedelta(hours=1)) * 30):
        ts = START + timedelta(seconds=number * 120 + rng.randrange(60))
        plan = rng.choices(["basic", PRO, None], [60, 30, 10])[0]
        # Most of the pros are in one country.
        country = rng.choices(["de", "fr"], [20, 80] if plan == PRO else [60, 40])[0]
        score = rng.randrange(10) / 10 + 0.05
        chance = score**2
        if country == "fr" and ts >= hour(20, 0):
            chance = 0.3
        is_error = rng.random() < 0.005
        if ts < hour(8, 2):
            is_error = rng.random() < 0.5
        if plan == PRO and hour(17, 12) <= ts < hour(17, 15):
            is_error = rng.random() < 0.6
        latency_ms = 20 * rng.lognormvariate(0, 0.2)
        if plan == PRO and country == "fr" and hour(19, 6) <= ts < hour(19, 12):
            latency_ms *= 20
        found.append(
            {
                "request_id": f"r{number}",
                "ts": ts,
                "plan": plan,
                "country": country,
                "status": 503 if is_error else 200,
                "latency_ms": latency_ms,
                "score": None if is_error else score,
                "label": int(rng.random() < chance),
                "labeled_at": ts + timedelta(hours=rng.choice([1, 1, 1, 40, 90])),
            }
        )
    return found


def corrections(records: list[dict]) -> list[tuple]:
    """Most labels of one plan of one day are turned over, long after."""
    chosen = [
        part
        for part in records
        if part["plan"] == PRO and part["ts"].day == 13 and part["status"] == 200
    ][:40]
    at = hour(24, 5)
    return [
        (part["request_id"], 1 - part["label"], at + timedelta(minutes=number))
        for number, part in enumerate(chosen)
    ]


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    warehouse = Warehouse(tmp_path_factory.mktemp("causes"), VARS)
    records = make_records(7)
    warehouse.write(
        "inference_events/all.jsonl",
        [
            event(
                part["request_id"],
                ts=f"{part['ts'].isoformat()}Z",
                status=part["status"],
                latency_ms=part["latency_ms"],
                score=part["score"],
                features={"age": 30, "is_new": True, "plan": part["plan"]},
                attributes={"country": part["country"]},
            )
            for part in records
        ],
    )
    warehouse.write(
        "labels/all.jsonl",
        [
            label(
                part["request_id"],
                label=part["label"],
                labeled_at=f"{part['labeled_at'].isoformat()}Z",
            )
            for part in records
            if part["status"] == 200
        ]
        + [
            label(request_id, label=value, labeled_at=f"{at.isoformat()}Z")
            for request_id, value, at in corrections(records)
        ],
    )
    warehouse.own("alert_rules", RULE, RULES)
    build = warehouse.dbt("build", "--exclude-resource-type", "unit_test", "--select",
                          "+root_cause_contributions")  # fmt: skip
    assert build.exit_code == 0, build.end
    rows = warehouse.frame("select * from ml_monitoring.root_cause_contributions")
    return warehouse, records, rows


# --- What was planted is first -----------------------------------------------------------------


def explained(rows, alert_name, current_start):
    of_alert = rows[(rows.alert_name == alert_name) & (rows.current_start <= current_start)]
    of_alert = of_alert[of_alert.current_end > current_start].sort_values("cause_rank")
    assert of_alert.alert_id.nunique() == 1, rows.alert_name.unique()
    return of_alert


PLANTED = [
    ("errors", hour(17, 12), ("slice", "plan", PRO)),
    ("slowness", hour(19, 8), ("slice_pair", "plan x country", f"{PRO} x fr")),
    ("auc", hour(21, 0), ("slice", "country", "fr")),
    ("corrections", hour(24, 5), ("slice", "plan", PRO)),
]


@pytest.mark.parametrize(("alert_name", "at", "planted"), PLANTED)
def test_the_planted_cause_is_first(case, alert_name, at, planted):
    first = explained(case[2], alert_name, at).iloc[0]
    assert (first.contribution_kind, first.slice_key, first.slice_value) == planted
    assert first.cause_rank == 1
    assert first.is_distinct
    # Without it, most of the change is gone.
    assert abs(first.change_without) < 0.3 * abs(first.change)


def test_metrics_that_are_no_sum_over_slices_have_no_rows(case):
    warehouse, _, rows = case
    assert "traffic" not in set(rows.alert_name)
    assert warehouse.query("select 1 from ml_monitoring.alerts where alert_name = 'traffic'")


def test_an_alert_without_a_time_before_says_so(case):
    (row,) = explained(case[2], "errors", hour(8, 0)).to_dict("records")
    assert (row["slice_key"], row["slice_value"], row["data_status"]) == (
        "all", "all", "no_baseline",
    )  # fmt: skip
    assert math.isnan(row["change"])
    assert row["value"] > 0.08


# --- Figures from the records ------------------------------------------------------------------


def slices_of(record):
    plan = record["plan"] or "(missing)"
    yield "slice", "plan", plan
    yield "slice", "country", record["country"]
    yield "slice_pair", "plan x country", f"{plan} x {record['country']}"


def sides(records, row):
    """The records of the reference and of the time of the alert, of services."""
    start, end = row.current_start, row.current_end
    hours = {(start + timedelta(hours=n)).hour for n in range(int((end - start).seconds // 3600))}
    before = [
        r for r in records
        if start - timedelta(days=7) <= r["ts"] < start and r["ts"].hour in hours
    ]  # fmt: skip
    return before, [r for r in records if start <= r["ts"] < end]


def split(scores_of_sides):
    """Kitagawa's split of a mean; of each side a list of (slices, score)."""
    sums = defaultdict(lambda: [[0, 0.0], [0, 0.0]])
    wholes = []
    for side, members in enumerate(scores_of_sides):
        wholes.append(sum(score for _, score in members) / len(members))
        for slices, score in members:
            for name in slices:
                sums[name][side][0] += 1
                sums[name][side][1] += score
    middle = sum(wholes) / 2
    found = {}
    for name, ((n0, t0), (n1, t1)) in sums.items():
        w0, w1 = n0 / len(scores_of_sides[0]), n1 / len(scores_of_sides[1])
        if n0 and n1:
            within = (w0 + w1) / 2 * (t1 / n1 - t0 / n0)
            mix = (w1 - w0) * ((t1 / n1 + t0 / n0) / 2 - middle)
        else:
            mean = (t0 + t1) / (n0 + n1)
            within, mix = 0.0, (w1 - w0) * (mean - middle)
        found[name] = (w0, w1, within, mix)
    return wholes, found


def compare(of_alert, found, weight=1.0):
    assert len(of_alert) == len(found)
    for row in of_alert.itertuples():
        w0, w1, within, mix = found[(row.contribution_kind, row.slice_key, row.slice_value)]
        if weight == 1.0:
            assert (row.reference_share, row.share) == pytest.approx((w0, w1), abs=1e-12)
        assert row.within_effect == pytest.approx(within, abs=1e-9)
        assert row.mix_effect == pytest.approx(mix, abs=1e-9)
        assert row.contribution == pytest.approx(within + mix, abs=1e-9)
        assert row.contribution_share == pytest.approx((within + mix) / row.change, abs=1e-9)


def test_contributions_to_an_error_rate_are_those_of_the_records(case):
    _, records, rows = case
    of_alert = explained(rows, "errors", hour(17, 12))
    row = of_alert.iloc[0]
    members = [
        [(list(slices_of(r)), float(r["status"] >= 400)) for r in side]
        for side in sides(records, row)
    ]
    wholes, found = split(members)
    assert (row.reference_value, row.value) == pytest.approx(wholes, abs=1e-12)
    compare(of_alert, found)
    # Taken out, the rest is what it is without these requests.
    for part in of_alert.itertuples():
        name = (part.contribution_kind, part.slice_key, part.slice_value)
        rest = [
            np.mean([score for slices, score in side if name not in slices]) for side in members
        ]
        assert part.change_without == pytest.approx(rest[1] - rest[0], abs=1e-12)
        own = [np.mean([score for slices, score in side if name in slices]) for side in members]
        assert (part.reference_slice_value, part.slice_metric_value) == pytest.approx(own)


def test_contributions_to_a_percentile_are_those_of_the_records(case):
    _, records, rows = case
    of_alert = explained(rows, "slowness", hour(19, 8))
    row = of_alert.iloc[0]

    def read_as(latency_ms):
        return 1.04 ** (math.ceil(math.log(latency_ms) / math.log(1.04)) - 0.5)

    before, now = sides(records, row)
    binned = [np.array([read_as(r["latency_ms"]) for r in side]) for side in (before, now)]
    ends = [np.quantile(side, 0.95, method="inverted_cdf") for side in binned]
    assert (row.reference_value, row.value) == pytest.approx(ends, rel=1e-12)
    exact = [
        np.quantile([r["latency_ms"] for r in side], 0.95, method="inverted_cdf")
        for side in (before, now)
    ]
    assert (row.reference_value, row.value) == pytest.approx(exact, rel=0.02)
    # What a latency adds: the stretches of the way above it, each over the change of the share
    # of latencies below.
    marks = np.unique(np.concatenate([*binned, ends]))
    marks = marks[(marks >= min(ends)) & (marks <= max(ends))]
    scores = [np.zeros(len(side)) for side in binned]
    for low, high in pairwise(marks):
        moved = np.mean(binned[1] <= low) - np.mean(binned[0] <= low)
        for side, values in zip(scores, binned, strict=True):
            side += (values <= low) * np.sign(ends[1] - ends[0]) * (high - low) / moved
    members = [
        [(list(slices_of(r)), float(score)) for r, score in zip(side, of_side, strict=True)]
        for side, of_side in zip((before, now), scores, strict=True)
    ]
    compare(of_alert, split(members)[1])


def test_contributions_to_auc_are_those_of_the_records(case):
    _, records, rows = case
    of_alert = explained(rows, "auc", hour(21, 0))
    row = of_alert.iloc[0]
    assert (row.reference_start, row.reference_end) == (START, BASELINE_END)

    known = [
        [
            r for r in records
            if start <= r["ts"] < end and r["labeled_at"] <= end + GRACE and r["score"] is not None
        ]
        for start, end in ((START, BASELINE_END), (row.current_start, row.current_end))
    ]  # fmt: skip
    aucs = [sk.roc_auc_score([r["label"] for r in s], [r["score"] for r in s]) for s in known]
    assert (row.reference_value, row.value) == pytest.approx(aucs, abs=1e-12)
    halves = []
    for own in (1, 0):
        of_sides = []
        for side in known:
            others = np.array([r["score"] for r in side if r["label"] != own])
            members = []
            for r in side:
                if r["label"] == own:
                    wins = np.mean(others < r["score"]) + np.mean(others == r["score"]) / 2
                    members.append((list(slices_of(r)), wins if own else 1 - wins))
            of_sides.append(members)
        halves.append(split(of_sides)[1])
    found = {
        name: tuple(sum(pair) / 2 for pair in zip(parts, halves[1][name], strict=True))
        for name, parts in halves[0].items()
    }
    compare(of_alert, found, weight=0.5)


def test_contributions_to_a_correction_rate_are_those_of_the_records(case):
    _, records, rows = case
    of_alert = explained(rows, "corrections", hour(24, 5))
    row = of_alert.iloc[0]
    assert (row.current_start, row.current_end) == (hour(24, 5), hour(24, 6))
    by_id = {r["request_id"]: r for r in records}
    lines = [(r["labeled_at"], r, 0.0) for r in records if r["status"] == 200]
    lines += [(at, by_id[name], 1.0) for name, _, at in corrections(records)]
    before, now = (
        [
            (list(slices_of(r)), score)
            for at, r, score in lines
            if at.hour == 5 and start <= at < start + timedelta(days=days)
        ]
        for start, days in ((hour(17, 5), 7), (hour(24, 5), 1))
    )
    wholes, found = split([before, now])
    assert (row.reference_value, row.value) == pytest.approx(wholes, abs=1e-12)
    compare(of_alert, found)


def test_all_splits_add_up(case):
    rows = case[2][case[2].data_status == "ok"]
    for _, part in rows.groupby(["alert_id", "contribution_kind", "slice_key"]):
        assert part.contribution.sum() == pytest.approx(part.change.iloc[0], abs=1e-9)
        assert part.share.sum() == pytest.approx(1)
        assert sorted(part.contribution_rank) == list(range(1, len(part) + 1))
    for _, part in rows.groupby("alert_id"):
        assert sorted(part.cause_rank) == list(range(1, len(part) + 1))


# --- Any metric and two windows ----------------------------------------------------------------


@pytest.fixture(scope="module")
def ask(case):
    relations = {
        name: f"ml_monitoring_internal.{table}"
        for name, table in root_cause_tables.RELATIONS.items()
    }

    def answer(metric, reference, current, **more):
        with duckdb.connect(str(case[0].database), read_only=True) as connection:
            return root_cause_tables.contributions(
                connection,
                model_name="churn",
                model_version="v1",
                role="live",
                metric=metric,
                reference=reference,
                current=current,
                relations=relations,
                **more,
            ).to_pylist()

    return answer


def test_a_question_has_the_answer_of_the_alert(case, ask):
    of_alert = explained(case[2], "auc", hour(21, 0))
    row = of_alert.iloc[0]
    found = ask(
        "roc_auc",
        (row.reference_start.to_pydatetime(), row.reference_end.to_pydatetime()),
        (row.current_start.to_pydatetime(), row.current_end.to_pydatetime()),
    )
    by_rank = sorted(found, key=lambda part: part["cause_rank"])
    assert [part["slice_value"] for part in by_rank] == of_alert.slice_value.tolist()
    assert [part["contribution"] for part in by_rank] == of_alert.contribution.tolist()


def ece(y, s):
    bins = [(s >= k / 10) & (s < (k + 1) / 10) for k in range(10)]
    return sum(abs(np.sum(s[b] - y[b])) / len(y) for b in bins)


# Of labels, scores and decisions.
WHOLE = {
    "accuracy": lambda y, _, p: sk.accuracy_score(y, p),
    "precision": lambda y, _, p: sk.precision_score(y, p),
    "recall": lambda y, _, p: sk.recall_score(y, p),
    "true_positive_rate": lambda y, _, p: sk.recall_score(y, p),
    "false_positive_rate": lambda y, _, p: np.mean(p[y == 0]),
    "selection_rate": lambda _, __, p: np.mean(p),
    "positive_rate": lambda y, _, __: np.mean(y),
    "mean_score": lambda _, s, __: np.mean(s),
    "brier_score": lambda y, s, _: sk.brier_score_loss(y, s),
    "log_loss": lambda y, s, _: sk.log_loss(y, s),
    "ece": lambda y, s, _: ece(y, s),
}


@pytest.mark.parametrize("metric", WHOLE)
def test_any_metric_of_labels_can_be_asked_about(case, ask, metric):
    windows = (START, START + timedelta(days=7)), (hour(19, 0), hour(22, 0))
    found = ask(metric, *windows)
    values = []
    for start, end in windows:
        known = [
            r for r in case[1]
            if start <= r["ts"] < end and r["labeled_at"] <= end + GRACE and r["score"] is not None
        ]  # fmt: skip
        y, s = (np.array([r[name] for r in known]) for name in ("label", "score"))
        values.append(WHOLE[metric](y, s, (s >= 0.5).astype(int)))
    for part in found:
        assert (part["reference_value"], part["value"]) == pytest.approx(values, abs=1e-8)
    for key in ("plan", "country", "plan x country"):
        total = sum(part["contribution"] for part in found if part["slice_key"] == key)
        assert total == pytest.approx(found[0]["change"], abs=1e-9)


def test_coverage_can_be_asked_about_by_slice(case, ask):
    windows = (START, START + timedelta(days=7)), (hour(23, 0), END)
    found = ask("label_coverage", *windows)
    members = [
        [
            (
                [name for name in slices_of(r) if name[0] == "slice"],
                float(r["labeled_at"] <= min(end + GRACE, END + SKEW)),
            )
            for r in case[1]
            if start <= r["ts"] < end and r["status"] == 200
        ]
        for start, end in windows
    ]
    wholes, expected = split(members)
    assert len(found) == len(expected)
    for part in found:
        assert (part["reference_value"], part["value"]) == pytest.approx(wholes, abs=1e-12)
        _, _, within, mix = expected[("slice", part["slice_key"], part["slice_value"])]
        assert part["within_effect"] == pytest.approx(within, abs=1e-9)
        assert part["mix_effect"] == pytest.approx(mix, abs=1e-9)


@pytest.mark.parametrize("metric", ["latency_mean_ms", "slow_rate", "latency_p50_ms"])
def test_any_metric_of_services_can_be_asked_about(case, ask, metric):
    windows = (hour(9, 3), hour(11, 5)), (hour(19, 6), hour(19, 9))
    found = ask(metric, *windows)
    values = []
    for start, end in windows:
        ms = np.array([r["latency_ms"] for r in case[1] if start <= r["ts"] < end])
        values.append(
            {
                "latency_mean_ms": ms.mean(),
                "slow_rate": (ms > 20).mean(),
                "latency_p50_ms": np.quantile(ms, 0.5, method="inverted_cdf"),
            }[metric]
        )
    close = {"rel": 0.02} if metric == "latency_p50_ms" else {"rel": 1e-6}
    for part in found:
        assert (part["reference_value"], part["value"]) == pytest.approx(values, **close)
    for key in ("plan", "country", "plan x country"):
        total = sum(part["contribution"] for part in found if part["slice_key"] == key)
        assert total == pytest.approx(found[0]["change"], abs=1e-9)


def test_questions_that_cannot_be_answered_say_why(ask):
    day = timedelta(days=1)
    window = (START, START + day)
    with pytest.raises(ValueError, match="psi cannot be split among slices"):
        ask("psi", window, window)
    with pytest.raises(ValueError, match="whole days"):
        ask("roc_auc", window, (START, START + timedelta(hours=25)))
    with pytest.raises(ValueError, match="whole hours"):
        ask("error_rate", window, (START, START + timedelta(minutes=90)))
    with pytest.raises(ValueError, match="must end after it starts"):
        ask("error_rate", window, (START, START))
    (row,) = ask("error_rate", window, (END + day, END + 2 * day))
    assert row["data_status"] == "no_data"
    (row,) = ask("roc_auc", window, (END + day, END + 2 * day))
    assert row["data_status"] == "no_data"


# --- Other models, late files ------------------------------------------------------------------

PLAIN = 'it\'s "plain" <b>'
OTHERS = {
    "monitored_models": [
        {"name": PLAIN, "task": "binary_classification", "features": [],
         "baseline": {"start": "2024-01-08", "end": "2024-01-12"}},
        {"name": "price", "task": "regression", "baseline": {"days": 3},
         "features": [{"name": "age", "type": "numerical"}],
         "slices": [{"name": "age", "breaks": [30, 60]}, "o'x y"]},
    ],
    "as_of": "2024-01-20",
    "performance_windows_days": [3],
}  # fmt: skip


def request(model: str, number: int, ts: datetime, **fields) -> dict:
    shown = {"age": number * 7 % 90}
    return event(
        f"{model}-{number}",
        model=model,
        ts=f"{ts.isoformat()}Z",
        features=shown if model == "price" else {},
        attributes={"o'x y": "a; b" if number % 3 else "<i>"} if model == "price" else {},
        score=...,
        prediction=1.5 if model == "price" else 0,
        **fields,
    )


def test_other_models_and_late_files(tmp_path):
    """A model without slices, one with intervals; a late file changes its alert alone."""
    warehouse = Warehouse(tmp_path, OTHERS)
    for model in (PLAIN, "price"):
        warehouse.write(
            f"inference_events/{'price' if model == 'price' else 'plain'}.jsonl",
            [
                request(model, number, START + timedelta(minutes=5 * number),
                        status=503 if hour(16, 8) <= START + timedelta(minutes=5 * number)
                        < hour(16, 10) and number * 7 % 90 >= 60 else 200)
                for number in range(12 * 24 * 11)
            ],
        )  # fmt: skip
    rules = [
        {"alert_name": f"errors {n}", "model_name": model, "threshold": "0.1", "severity": "ticket"}
        for n, model in enumerate((PLAIN, "price"))
    ]
    warehouse.own("alert_rules", RULE, rules)

    def rows():
        build = warehouse.dbt("build", "--exclude-resource-type", "unit_test", "--select",
                              "+root_cause_contributions")  # fmt: skip
        assert build.exit_code == 0, build.end
        found = warehouse.query("from ml_monitoring.root_cause_contributions order by all")
        columns = warehouse.frame("from ml_monitoring.root_cause_contributions limit 0").columns
        return [dict(zip(columns, row, strict=True)) for row in found]

    before = rows()
    (plain,) = [row for row in before if row["model_name"] == PLAIN]
    assert (plain["slice_key"], plain["data_status"]) == ("all", "ok")
    assert plain["change"] > 0.2
    (first,) = [row for row in before if row["model_name"] == "price" and row["cause_rank"] == 1]
    assert (first["slice_key"], first["slice_value"]) == ("age", ">= 60")
    assert {row["slice_key"] for row in before if row["model_name"] == "price"} == {
        "age", "o'x y", "age x o'x y",
    }  # fmt: skip

    late = [request("price", 10_000 + n, hour(16, 9), status=503) for n in range(5)]
    warehouse.write("inference_events/late.jsonl", late)
    after = rows()
    assert [row for row in after if row["model_name"] == PLAIN] == [plain]
    (new,) = [row for row in after if row["model_name"] == "price" and row["cause_rank"] == 1]
    assert new["value"] > first["value"]
    assert new["change"] == pytest.approx(
        sum(row["contribution"] for row in after if row["slice_key"] == "age")
    )

    warehouse.execute("drop table ml_monitoring_internal.int_root_causes")
    assert rows() == after
