"""release_comparison from landing records: a mix that moves, a release at noon, canaries."""

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from intervals import wilson_interval
from tests.integration.warehouse import DEPLOYMENT, MODEL, TARGET, Warehouse, event, label

START, END = datetime(2024, 1, 1), datetime(2024, 1, 22)
GRACE = timedelta(hours=48)
SIZES = [1, 3, 7]
ODD = "it's <b>odd</b> é"
VALUE = 'say "x\\y" ' + ODD
MODELS = [
    MODEL
    | {
        "name": name,
        "slices": ["plan", ODD],
        "label_grace_hours": 48,
        "protected_attributes": ["plan"],
    }
    for name in ("churn", "noon", "canary", "alone", "first's")
]
VARS = {"monitored_models": MODELS, "as_of": f"{END:%F}", "performance_windows_days": SIZES}
# Which version served from when to when.
DEPLOYMENTS = {
    "churn": [("v1", START, datetime(2024, 1, 11)), ("v2", datetime(2024, 1, 11), END)],
    "noon": [
        ("v1", START, datetime(2024, 1, 11, 12)),
        ("v2", datetime(2024, 1, 11, 12), END),
    ],
    # The old one goes on beside the new one.
    "canary": [("v1", START, END), ("v2", datetime(2024, 1, 11), END)],
    "alone": [("v1", START, END)],
    # Back to the old one after four days.
    "first's": [
        ("v1", START, datetime(2024, 1, 10)),
        ("v2", datetime(2024, 1, 10), datetime(2024, 1, 14)),
        ("v1", datetime(2024, 1, 14), END),
    ],
}


@dataclass
class Request:
    model: str
    version: str
    ts: datetime
    plan: str
    odd: str
    score: float | None
    predicted: int
    latency: float | None
    is_error: bool
    labels: list[tuple[datetime, int]] = field(default_factory=list)
    request_id: str = ""

    @property
    def cell(self):
        return (self.plan, self.odd)

    def known(self, until: datetime) -> int | None:
        known = [value for at, value in sorted(self.labels) if at <= until]
        return known[-1] if known else None


def make_requests() -> list[Request]:
    rng = random.Random(3)
    found = []
    for model, deployments in DEPLOYMENTS.items():
        for version, start, end in deployments:
            days = (end - start).total_seconds() / 86400
            for _ in range(int(days * 90)):
                ts = start + timedelta(seconds=rng.randrange(int(days * 86400)))
                is_late = ts >= datetime(2024, 1, 10)
                plan = rng.choices(
                    ["basic", "pro", "O'Neill & <i>co</i>", "new" if is_late else "gone"],
                    [30, 50, 12, 8] if is_late else [60, 25, 7, 8],
                )[0]
                score = rng.randrange(10) / 10 + 0.05
                request = Request(
                    model,
                    version,
                    ts,
                    plan,
                    rng.choice(["a", VALUE]),
                    score if rng.random() < 0.97 else None,
                    int(rng.random() < 0.1) ^ int(score >= 0.5),
                    rng.lognormvariate(3 + (0.7 if plan == "pro" else 0), 0.4)
                    if rng.random() < 0.98
                    else None,
                    rng.random() < (0.1 if plan == "pro" else 0.02),
                    request_id=f"{model} {len(found)}",
                )
                if not request.is_error and rng.random() < 0.95:
                    delay = rng.uniform(1, 40) if rng.random() < 0.9 else rng.uniform(60, 140)
                    at = ts + timedelta(hours=delay)
                    truth = int(rng.random() < (0.5 if plan == "pro" else score))
                    request.labels.append((at, truth))
                    if rng.random() < 0.1:
                        later = at + timedelta(hours=rng.choice([3, 70]))
                        request.labels.append((later, 1 - truth))
                found.append(request)
    return found


def write(warehouse: Warehouse, name: str, requests: list[Request]) -> None:
    warehouse.write(
        f"inference_events/{name}.jsonl",
        [
            event(
                part.request_id,
                model=part.model,
                model_version=part.version,
                ts=f"{part.ts.isoformat()}Z",
                status=500 if part.is_error else 200,
                score=None if part.is_error else part.score,
                prediction=... if part.is_error else part.predicted,
                latency_ms=part.latency,
                features={"age": 30, "plan": part.plan, "is_new": True},
                attributes={ODD: part.odd},
            )
            for part in requests
        ],
    )
    warehouse.write(
        f"labels/{name}.jsonl",
        [
            label(part.request_id, label=value, labeled_at=f"{at.isoformat()}Z")
            for part in requests
            for at, value in part.labels
        ],
    )


def deploy(warehouse: Warehouse) -> None:
    warehouse.own(
        "deployments",
        DEPLOYMENT,
        [
            {
                "model": model,
                "version": version,
                "from": f"{start.isoformat()}Z",
                "to": "" if end == END else f"{end.isoformat()}Z",
            }
            for model, deployments in DEPLOYMENTS.items()
            for version, start, end in deployments
        ]
        # A shadow is no release, and what is wrong is none either.
        + [
            {"model": "alone", "version": "v2", "role": "shadow", "from": "2024-01-11"},
            {"model": "alone", "version": "v3", "from": "tomorrow"},
        ],
    )


def build(warehouse: Warehouse, *arguments: str) -> None:
    done = warehouse.dbt(
        "build", "--exclude-resource-type", "unit_test", "--select", "+release_comparison",
        "+fairness_calibration_board", "--exclude", "deployments_are_valid", *arguments,
    )  # fmt: skip
    assert done.exit_code == 0, done.end


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A build, then one more with what came late."""
    warehouse = Warehouse(tmp_path_factory.mktemp("releases"), VARS)
    deploy(warehouse)
    target = {
        "metric": "equal_opportunity_difference",
        "slice_key": "plan",
        "window_size": "7d",
        "objective": "0.05",
        "budget_objective": "",
        "runbook": "docs/own.md",
    }
    warehouse.own("slo_targets", TARGET, [target])
    requests = make_requests()
    rng = random.Random(4)
    late = {part.request_id for part in requests if rng.random() < 0.05}
    write(warehouse, "all", [part for part in requests if part.request_id not in late])
    warehouse.vars["as_of"] = "2024-01-17"
    build(warehouse)
    write(warehouse, "late", [part for part in requests if part.request_id in late])
    warehouse.vars["as_of"] = f"{END:%F}"
    build(warehouse)
    return warehouse, requests


def rows_of(warehouse, model, **where):
    condition = " and ".join(["true", *[f"{name} = ?" for name in where]])
    frame = warehouse.query(
        f"""
        select to_json(rows) from (
            select * from ml_monitoring.release_comparison
            where model_name = ? and {condition}
        ) as rows
        """,
        model,
        *where.values(),
    )
    return [json.loads(text) for (text,) in frame]


def weighted(metric, part, weight):
    """A metric of weighted requests, each with its label."""
    if metric == "latency_p95_ms":
        values = np.array([p.latency for p, _ in part])
        return np.quantile(values, 0.95, weights=weight, method="inverted_cdf")
    if metric == "roc_auc":
        y, scores = [y for _, y in part], [p.score for p, _ in part]
        return roc_auc_score(y, scores, sample_weight=weight)
    values = {
        "error_rate": [p.is_error for p, _ in part],
        "slow_rate": [p.latency is not None and p.latency > 20 for p, _ in part],
        "latency_mean_ms": [p.latency for p, _ in part],
        "accuracy": [p.predicted == y for p, y in part],
        "selection_rate": [p.predicted for p, _ in part],
        "positive_rate": [y for _, y in part],
        "brier_score": [0 if y is None else (p.score - y) ** 2 for p, y in part]
        if metric == "brier_score"
        else [],
    }[metric]
    return np.average(np.array(values, float), weights=weight)


def members(metric, part, until):
    """What a metric is of."""
    if metric == "error_rate":
        return [(p, None) for p in part]
    if metric in ("slow_rate", "latency_mean_ms", "latency_p95_ms"):
        return [(p, None) for p in part if p.latency is not None]
    part = [(p, p.known(until)) for p in part if not p.is_error]
    needs_score = metric in ("roc_auc", "brier_score")
    return [(p, y) for p, y in part if y is not None and not (needs_score and p.score is None)]


METRICS = [
    "error_rate", "slow_rate", "latency_mean_ms", "latency_p95_ms", "accuracy", "selection_rate",
    "positive_rate", "brier_score", "roc_auc",
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "old", "new", "previous_end", "window_start"),
    [
        ("churn", "v1", "v2", datetime(2024, 1, 11), datetime(2024, 1, 11)),
        # The day of the release is in neither window.
        ("noon", "v1", "v2", datetime(2024, 1, 11), datetime(2024, 1, 12)),
        ("canary", "v1", "v2", datetime(2024, 1, 11), datetime(2024, 1, 11)),
        ("first's", "v1", "v2", datetime(2024, 1, 10), datetime(2024, 1, 10)),
        # A rollback is a release of the old version.
        ("first's", "v2", "v1", datetime(2024, 1, 14), datetime(2024, 1, 14)),
    ],
)
def test_figures_are_those_of_the_records(case, model, old, new, previous_end, window_start):
    warehouse, requests = case
    requests = [part for part in requests if part.model == model]
    seen = 0
    for row in rows_of(warehouse, model, model_version=new):
        metric, size = row["metric"], timedelta(days=int(row["window_size"][:-1]))
        assert row["previous_version"] == old
        assert row["role"] == "live"
        assert row["window_start"] == f"{window_start:%F %T}"
        assert row["window_end"] == f"{window_start + size:%F %T}"
        assert row["previous_start"] == f"{previous_end - size:%F %T}"
        assert row["previous_end"] == f"{previous_end:%F %T}"
        key = {"all": None, "plan": "plan", ODD: "odd"}[row["slice_key"]]
        sides = []
        for version, end in ((old, previous_end), (new, window_start + size)):
            now = END + timedelta(hours=1)
            until = now if row["label_view"] == "latest" else min(end + GRACE, now)
            part = [
                p
                for p in requests
                if p.version == version
                and end - size <= p.ts < end
                and (key is None or getattr(p, key) == row["slice_value"])
            ]
            sides.append((part, until))
        if metric == "requests_per_minute" and row["data_status"] == "ok":
            for name, (part, _) in zip(("previous_value", "value"), sides, strict=True):
                days = len({p.ts.date() for p in part})
                assert row[name] == pytest.approx(len(part) / days / 1440)
        if metric not in METRICS:
            continue
        before, after = (members(metric, *side) for side in sides)
        assert row["previous_sample_count"] == len(before)
        assert row["sample_count"] == len(after)
        if row["data_status"] != "ok":
            assert row["value"] is None
            is_growing = row["label_view"] == "as_known" and window_start + size + GRACE > END
            expected = {"no_data"} if not after else {"no_baseline"} if not before else None
            assert row["data_status"] in (expected or {"immature", "insufficient_data"})
            if not expected:
                assert (row["data_status"] == "immature") == is_growing
                assert is_growing or min(len(before), len(after)) < 50 or metric == "roc_auc"
            continue
        seen += 1
        counts = [Counter(p.cell for p, _ in side) for side in (before, after)]
        kept = [pair for pair in before if pair[0].cell in counts[1]]
        weight = np.array([counts[0][p.cell] / counts[1][p.cell] for p, _ in after])
        tolerance = 0.04 if metric == "latency_p95_ms" else 1e-6
        expected = {
            "previous_value": weighted(metric, before, np.ones(len(before))),
            "value": weighted(metric, after, np.ones(len(after))),
        }
        assert row["mix_coverage"] == pytest.approx(len(kept) / len(before))
        if row["adjusted_value"] is not None:
            expected |= {
                "comparable_previous_value": weighted(metric, kept, np.ones(len(kept))),
                "adjusted_value": weighted(metric, after, weight),
            }
        for name, number in expected.items():
            assert row[name] == pytest.approx(number, rel=tolerance, abs=1e-9), (name, row)
        assert row["mix_slice_keys"] == ", ".join(
            name for name in ("plan", ODD) if name != row["slice_key"]
        )
    assert seen >= 20


def test_only_versions_with_a_predecessor_and_closed_windows_are_there(case):
    warehouse, _ = case
    found = warehouse.query(
        """
        select distinct model_name, model_version, window_size
        from ml_monitoring.release_comparison
        """
    )
    expected = {
        (model, "v2", f"{size}d") for model in ("churn", "noon", "canary", "first's")
        for size in SIZES
    } | {("first's", "v1", f"{size}d") for size in SIZES}  # fmt: skip
    assert set(found) == expected


def group_figures(requests, end, size, **where):
    """Measure a group in a window, with the labels known in its time."""
    part = [
        (p, p.known(end + GRACE))
        for p in requests
        if end - timedelta(days=size) <= p.ts < end
        and not p.is_error
        and all(getattr(p, name) == value for name, value in where.items())
    ]
    part = [(p, y) for p, y in part if y is not None]
    hits = sum(y and p.predicted for p, y in part)
    positives = sum(y for _, y in part)
    scored = [(p.score, y) for p, y in part if p.score is not None]
    gaps = {score: sum(s - y for s, y in scored if s == score) for score, _ in scored}
    return {
        "count": len(part),
        "tpr": (hits, positives),
        "ece": sum(map(abs, gaps.values())) / max(len(scored), 1),
        "selection_rate": sum(p.predicted for p, _ in part) / max(len(part), 1),
    }


def test_the_board_is_that_of_the_records(case):
    warehouse, requests = case
    columns = [
        "model_version", "slice_key", "slice_value", "window_size", "window_end", "is_current",
        "is_protected", "labeled_count", "ece", "true_positive_rate", "selection_rate",
        "gap_metric", "gap", "gap_lower", "guardrail", "is_breached",
        "true_positive_rate_change", "trend", "runbook", "data_status",
    ]  # fmt: skip
    found = warehouse.query(
        f"""
        select {", ".join(columns)}
        from ml_monitoring.fairness_calibration_board
        where model_name = 'churn' and role = 'live'
        order by board_rank
        """
    )
    rows = [dict(zip(columns, row, strict=True)) for row in found]
    requests = [part for part in requests if part.model == "churn"]
    plans = {p.plan for p in requests}
    trends = set()
    for row in rows:
        size = int(row["window_size"][:-1])
        is_new = row["model_version"] == "v2"
        end = END - GRACE if is_new else datetime(2024, 1, 10) + timedelta(days=size)
        assert row["window_end"] == end
        assert row["is_current"] == is_new
        assert row["is_protected"] == (row["slice_key"] == "plan")
        own = [p for p in requests if p.version == row["model_version"]]
        where = {"plan" if row["is_protected"] else "odd": row["slice_value"]}
        figures = group_figures(own, end, size, **where)
        assert row["labeled_count"] == figures["count"]
        is_target = row["is_protected"] and size == 7
        assert row["guardrail"] == (0.05 if is_target else None)
        page = "fairness" if row["is_protected"] else "calibration"
        assert row["runbook"] == ("docs/own.md" if is_target else f"docs/runbooks/{page}.md")
        if row["is_protected"]:
            groups = [group_figures(own, end, size, plan=plan) for plan in plans]
            rates = [g["tpr"][0] / g["tpr"][1] for g in groups if g["count"] >= 50]
            if row["gap"] is not None:
                assert row["gap_metric"] == "equal_opportunity_difference"
                assert row["gap"] == pytest.approx(max(rates) - min(rates))
                if is_target:
                    assert row["is_breached"] == (row["gap_lower"] > 0.05)
            else:
                assert len(rates) < 2
        if figures["count"] < 50:
            assert row["data_status"] == "insufficient_data"
            continue
        hits, positives = figures["tpr"]
        assert row["true_positive_rate"] == pytest.approx(hits / positives)
        assert row["ece"] == pytest.approx(figures["ece"], abs=1e-6)
        assert row["selection_rate"] == pytest.approx(figures["selection_rate"])
        before = group_figures(own, end - timedelta(days=size), size, **where)
        if before["count"] < 50:
            assert row["true_positive_rate_change"] is None
            continue
        change = hits / positives - before["tpr"][0] / before["tpr"][1]
        assert row["true_positive_rate_change"] == pytest.approx(change)
        now, then = wilson_interval(hits, positives), wilson_interval(*before["tpr"])
        upper = change + np.hypot(now[1] - hits / positives, hits / positives - change - then[0])
        if upper < 0:
            assert row["trend"] == "worse"
        trends.add(row["trend"])
    assert len(rows) >= 20
    assert "steady" in trends
    assert {row["data_status"] for row in rows} == {"ok", "insufficient_data"}
    current = [row["is_current"] for row in rows]
    assert current == sorted(current, reverse=True)


def test_a_full_refresh_says_the_same(case):
    warehouse, _ = case
    tables = "release_comparison", "fairness_calibration_board"
    before = [warehouse.query(f"from ml_monitoring.{table} order by all") for table in tables]
    assert len(before[0]) > 300
    build(warehouse, "--full-refresh")
    after = [warehouse.query(f"from ml_monitoring.{table} order by all") for table in tables]
    assert after == before


def test_a_release_that_is_taken_back_leaves_no_rows(case):
    """Runs last: it changes the deployments."""
    warehouse, _ = case
    warehouse.execute("delete from own.deployments where model = 'churn' and version = 'v2'")
    build(warehouse)
    assert rows_of(warehouse, "churn") == []
    assert rows_of(warehouse, "canary") != []
    versions = warehouse.query(
        "select distinct model_name from ml_monitoring_internal.int_release_days order by all"
    )
    assert versions == [("canary",), ("first's",), ("noon",)]


def test_without_deployments_and_events_there_is_an_empty_table(warehouse):
    build(warehouse)
    assert warehouse.query("from ml_monitoring.release_comparison") == []
