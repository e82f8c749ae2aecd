"""Tables of shadows against plain Python on the landing records."""

import random
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pytest
import yaml
from scipy import stats
from sklearn.metrics import roc_auc_score

from tests.integration import oracle, statistics_oracle
from tests.integration.warehouse import (
    DEPLOYMENT,
    MARGIN,
    MODEL,
    PROJECT,
    Warehouse,
    event,
    label,
)

PROJECT_VARS = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]

START, END = datetime(2024, 1, 1), datetime(2024, 1, 14)
SHADOW_START, SHADOW_END = datetime(2024, 1, 4, 6, 30), datetime(2024, 1, 11, 18)
GRACE = timedelta(hours=48)
#: What is labelled by then is known now.
NOW = END + timedelta(minutes=60)
#: A name that must stay a name.
NASTY = 'o\'plan "<b>" | x'
VARS = {
    "monitored_models": [
        MODEL
        | {
            "baseline": {"start": "2024-01-01", "end": "2024-01-04"},
            "protected_attributes": ["country"],
        }
    ],
    "as_of": f"{END:%F}",
    "drift_windows_days": [1, 3],
    "min_samples": 20,
    "min_samples_per_class": 5,
}
MARGINS = {
    ("labeled_pairs", ""): 400,
    ("shadow_days", ""): 3,
    ("roc_auc", ""): 0.3,
    ("accuracy", ""): 0.5,
    ("ece", ""): 0.5,
    ("latency_p95_ms", ""): 0.01,
    ("error_rate", ""): 0.2,
    ("demographic_parity_difference", "country"): 0.5,
}


@dataclass
class Request:
    """What was sent, and what is to be found."""

    request_id: str
    live_ts: datetime
    live_version: str
    plan: str | None
    country: str
    age: float | None
    live: dict
    shadow: dict | None = None
    shadow_ts: datetime | None = None
    labels: list[tuple[datetime, int]] = field(default_factory=list)

    @property
    def day(self) -> datetime:
        return datetime(self.live_ts.year, self.live_ts.month, self.live_ts.day)

    @property
    def slices(self) -> dict[str, str]:
        return {"all": "all", "plan": self.plan or "(missing)", "country": self.country}

    @property
    def is_answered(self) -> bool:
        return bool(self.shadow) and self.live["status"] < 400 and self.shadow["status"] < 400

    def known(self, until: datetime) -> int | None:
        known = [value for at, value in sorted(self.labels) if at <= until]
        return known[-1] if known else None


def answer(rng, score: float | None, slow: float, errors: float) -> dict:
    found = {
        "status": 500 if rng.random() < errors else 200,
        "latency_ms": rng.lognormvariate(3, 0.5) * slow if rng.random() < 0.97 else ...,
        "score": score if score is not None else ...,
    }
    # Some log what they decided; the threshold decides for the others.
    if rng.random() < 0.3 and score is not None:
        found["prediction"] = int(score >= 0.5) if rng.random() < 0.9 else int(score < 0.5)
    return found


def make_requests(seed: int) -> list[Request]:
    rng = random.Random(seed)
    found = []
    for number in range(13 * 150):
        ts = START + timedelta(days=number // 150, seconds=rng.randrange(86400))
        plan = rng.choices(["basic", "pro", NASTY, None], [50, 35, 12, 3])[0]
        truth = int(rng.random() < 0.35)
        scores = [
            min(max(round(0.3 + 0.25 * truth + rng.gauss(0, noise), 3), 0), 1)
            for noise in (0.2, 0.12)
        ]
        request = Request(
            f"r{number}",
            ts,
            "v1" if rng.random() < 0.9 else "canary",
            plan,
            rng.choice(["de", "fr", "fr"]),
            rng.choice([None, float(rng.randint(18, 80))]),
            answer(rng, scores[0] if rng.random() < 0.98 else None, 1.0, 0.05),
        )
        # The shadow misses more of one plan.
        reaches = rng.random() < (0.6 if plan == "pro" else 0.97)
        if SHADOW_START <= ts < SHADOW_END and reaches:
            request.shadow = answer(rng, scores[1], 1.6, 0.1)
            # The first one says when the shadow began.
            request.shadow_ts = ts + timedelta(minutes=rng.choice([0, 1, 55]))
        if rng.random() < 0.9:
            at = ts + timedelta(hours=rng.choice([1, 30, 60, 130]))
            request.labels.append((at, truth))
            if rng.random() < 0.1:
                request.labels.append((at + timedelta(hours=rng.choice([5, 90])), 1 - truth))
        found.append(request)
    return found


def records_of(request: Request) -> list[dict]:
    common = {
        "features": {"age": request.age, "plan": request.plan, "is_new": True},
        "attributes": {"country": request.country},
    }
    found = [
        event(
            request.request_id,
            ts=f"{request.live_ts.isoformat()}Z",
            model_version=request.live_version,
            **common,
            **request.live,
        )
    ]
    if request.shadow:
        found.append(
            event(
                request.request_id,
                ts=f"{request.shadow_ts.isoformat()}Z",
                model_version="v2",
                role="shadow",
                **common,
                **request.shadow,
            )
        )
    return found


def write(warehouse: Warehouse, requests: list[Request], name: str) -> None:
    events = [record for request in requests for record in records_of(request)]
    warehouse.write(f"inference_events/{name}.jsonl.gz", events)
    labels = [
        label(request.request_id, label=value, labeled_at=f"{at.isoformat()}Z", model="churn")
        for request in requests
        for at, value in request.labels
    ]
    warehouse.write(f"labels/{name}.jsonl", labels)


def set_margins(warehouse: Warehouse, margins: dict = MARGINS) -> None:
    rows = [
        {"criterion": criterion, "slice_key": slice_key, "margin": str(margin)}
        for (criterion, slice_key), margin in margins.items()
    ]
    warehouse.own("launch_margins", MARGIN, rows)


def set_deployments(warehouse: Warehouse) -> None:
    shadow = {"version": "v2", "role": "shadow", "from": f"{SHADOW_START}", "to": f"{SHADOW_END}"}
    warehouse.own("deployments", DEPLOYMENT, [{}, {"version": "canary"}, shadow])


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    return make_requests(11)


@pytest.fixture(scope="module")
def warehouse(requests, tmp_path_factory) -> Warehouse:
    warehouse = Warehouse(tmp_path_factory.mktemp("shadow"), VARS)
    set_deployments(warehouse)
    set_margins(warehouse)
    write(warehouse, requests, "a")
    # Two that no live version had.
    alone = [
        event(f"alone{n}", ts="2024-01-05T08:00:00Z", model_version="v2", role="shadow")
        for n in range(2)
    ]
    warehouse.write("inference_events/alone.jsonl", alone)
    build = warehouse.build()
    assert build.exit_code == 0, build.end
    return warehouse


def selected(requests, live_version, slice_key, slice_value, start, end):
    """Live requests that the shadow should have had, in a window."""
    first = min(request.shadow_ts for request in requests if request.shadow).replace(second=0)
    return [
        request
        for request in requests
        if request.live_version == live_version
        and request.slices[slice_key] == slice_value
        and start <= request.live_ts < end
        and (first <= request.live_ts < SHADOW_END or request.shadow)
    ]


def decision(answered: dict) -> int:
    return answered.get("prediction", int(answered["score"] >= 0.5))


def labelled(requests, until):
    """Requests that both answered and scored, with a label."""
    return [
        (request, request.known(until))
        for request in requests
        if request.is_answered
        and request.live["score"] is not ...
        and request.known(until) is not None
    ]


def exact_delong(scores, y):
    x, z = scores[:, y == 1], scores[:, y == 0]
    psi = (x[:, :, None] > z[:, None, :]) + 0.5 * (x[:, :, None] == z[:, None, :])
    covariance = np.cov(psi.mean(axis=2)) / x.shape[1] + np.cov(psi.mean(axis=1)) / z.shape[1]
    auc = psi.mean(axis=(1, 2))
    return auc, np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])


def rows_of(warehouse, table):
    frame = warehouse.frame(f"from ml_monitoring.{table} order by all")
    return [
        {
            name: None if isinstance(value, float) and np.isnan(value) else value
            for name, value in row.items()
        }
        for row in frame.astype(object).to_dict("records")
    ]


def test_comparison_is_that_of_the_landing_records(warehouse, requests):
    rows = rows_of(warehouse, "shadow_comparison")
    assert {row["window_size"] for row in rows} == {"1d", "3d"}
    groups = [row for row in rows if row["slice_key"] == "country" and row["slice_value"] == "all"]
    none = [row for row in rows if row["live_version"] == "(none)"]
    assert {row["shadow_only_count"] for row in none} == {2}
    checked = 0
    for row in rows:
        if row in groups or row in none:
            continue
        start, end = row["window_start"], row["window_end"]
        chosen = selected(
            requests, row["live_version"], row["slice_key"], row["slice_value"], start, end
        )
        paired = [request for request in chosen if request.shadow]
        assert row["live_count"] == len(chosen) > 0
        assert row["paired_count"] == len(paired)
        assert row["partner_rate"] == pytest.approx(len(paired) / len(chosen))
        failed = np.array(
            [[side["status"] >= 400 for side in (r.live, r.shadow)] for r in paired]
        ).reshape(-1, 2)
        if len(paired):
            assert row["live_error_rate"] == pytest.approx(failed[:, 0].mean())
            assert row["shadow_error_rate"] == pytest.approx(failed[:, 1].mean())
            only = [int((failed[:, i] & ~failed[:, 1 - i]).sum()) for i in (0, 1)]
            expected = stats.binomtest(min(only), sum(only)).pvalue if sum(only) else 1
            assert row["error_rate_pvalue"] == pytest.approx(expected)
        check_latencies(row, paired)
        until = NOW if row["label_view"] == "latest" else min(end + GRACE, NOW)
        check_labelled(row, labelled(chosen, until), end)
        checked += row["data_status"] == "ok"
    assert checked > 60


def check_latencies(row, paired):
    for side in ("live", "shadow"):
        values = [
            getattr(request, side)["latency_ms"]
            for request in paired
            if getattr(request, side)["latency_ms"] is not ...
        ]
        for q in (50, 95, 99):
            found = row[f"{side}_latency_p{q}_ms"]
            if not values:
                assert found is None
                continue
            expected = np.quantile(values, q / 100)
            exact = row["window_size"] == "1d"
            assert found == pytest.approx(expected, rel=1e-9 if exact else 0.021)
    if row["live_latency_p95_ms"] and row["shadow_latency_p95_ms"]:
        assert row["latency_p95_ratio"] == pytest.approx(
            row["shadow_latency_p95_ms"] / row["live_latency_p95_ms"]
        )


def check_labelled(row, found, end):
    assert row["labeled_count"] == len(found)
    if row["data_status"] in ("no_data", "immature"):
        assert row["live_accuracy"] is None and row["roc_auc_difference"] is None
        assert not found or end + GRACE > END or len(found) < row["answered_count"] * 0.5
        return
    y = np.array([value for _, value in found])
    scores = np.array([[r.live["score"], r.shadow["score"]] for r, _ in found]).T
    right = np.array([[decision(r.live) == v, decision(r.shadow) == v] for r, v in found]).T
    if len(found) < 20:
        assert row["data_status"] == "insufficient_data"
        return
    assert row["live_accuracy"] == pytest.approx(right[0].mean())
    assert row["shadow_accuracy"] == pytest.approx(right[1].mean())
    only = [int((right[i] & ~right[1 - i]).sum()) for i in (0, 1)]
    assert (row["live_only_right_count"], row["shadow_only_right_count"]) == tuple(only)
    expected = stats.binomtest(min(only), sum(only)).pvalue if sum(only) else 1
    assert row["accuracy_pvalue"] == pytest.approx(expected)
    for side, score in zip(("live", "shadow"), scores, strict=True):
        ece = statistics_oracle.calibration(y, score)["ece"]
        assert row[f"{side}_ece"] == pytest.approx(ece, abs=1e-6)
    if y.min() == y.max():
        assert row["data_status"] == "single_class"
        return
    if min(y.sum(), len(y) - y.sum()) < 5:
        assert row["data_status"] == "insufficient_data"
        return
    assert row["data_status"] == "ok"
    auc, error = exact_delong(scores, y)
    assert auc == pytest.approx([roc_auc_score(y, score) for score in scores])
    # Scores of three digits are alone in their bins of whole models, not in those of slices.
    bound = row["roc_auc_difference_error_bound"]
    assert bound <= (1e-3 if row["slice_key"] == "all" else 0.05)
    assert row["roc_auc_difference"] == pytest.approx(auc[1] - auc[0], abs=bound + 1e-9)
    if bound == 0:
        assert row["live_roc_auc"] == pytest.approx(auc[0])
        reach = row["roc_auc_difference_upper"] - row["roc_auc_difference"]
        assert reach == pytest.approx(stats.norm.ppf(0.975) * error)
        assert row["roc_auc_pvalue"] == pytest.approx(
            2 * stats.norm.sf(abs(auc[1] - auc[0]) / error), abs=1e-9
        )


def test_gaps_are_those_of_the_groups(warehouse):
    rows = rows_of(warehouse, "shadow_comparison")
    gaps = [row for row in rows if row["slice_key"] == "country" and row["slice_value"] == "all"]
    assert {row["data_status"] for row in gaps} >= {"ok"}
    for row in gaps:
        groups = [
            other
            for other in rows
            if other["slice_key"] == "country"
            and other["slice_value"] != "all"
            and other["labeled_count"] >= 20
            and all(
                other[name] == row[name]
                for name in ("live_version", "window_size", "window_end", "label_view")
            )
        ]
        if row["data_status"] != "ok":
            assert row["live_demographic_parity_difference"] is None
            continue
        for metric, gap in (
            ("selection_rate", "demographic_parity_difference"),
            ("true_positive_rate", "equal_opportunity_difference"),
            ("false_positive_rate", "predictive_equality_difference"),
        ):
            for side in ("live", "shadow"):
                values = [group[f"{side}_{metric}"] for group in groups]
                values = [value for value in values if value is not None]
                if len(values) > 1 and all(g["data_status"] != "immature" for g in groups):
                    assert row[f"{side}_{gap}"] == pytest.approx(max(values) - min(values))


def test_requests_that_are_missing_by_plan_are_found(warehouse):
    rows = warehouse.query("""
        select slice_value, min(missing_qvalue), max(missing_qvalue)
        from ml_monitoring.shadow_comparison
        where slice_key = 'plan' and window_size = '3d' and live_version = 'v1'
            and live_count > 100
        group by all
    """)
    found = {value: (low, high) for value, low, high in rows}
    assert found["pro"][1] < 0.001
    rows = warehouse.query("""
        select min(missing_qvalue) from ml_monitoring.shadow_comparison
        where slice_key = 'country' and window_size = '3d'
    """)
    assert rows[0][0] > 0.001
    # By hand for one window.
    rows = warehouse.query("""
        select slice_value, live_count, paired_count, missing_pvalue
        from ml_monitoring.shadow_comparison
        where slice_key = 'plan' and window_size = '3d' and live_version = 'v1'
            and label_view = 'latest' and window_end = '2024-01-09'
    """)
    live, reached = (np.array([row[i] for row in rows]) for i in (1, 2))
    for number, (_, own_live, own_reached, pvalue) in enumerate(rows):
        others = np.delete(reached, number).sum(), np.delete(live - reached, number).sum()
        table = [[own_reached, own_live - own_reached], others]
        chi2 = stats.chi2_contingency(table, correction=False)
        expected = stats.fisher_exact(table).pvalue if chi2.expected_freq.min() < 5 else chi2.pvalue
        assert pvalue == pytest.approx(expected)


def test_disagreements_are_those_of_the_landing_records(warehouse, requests):
    rows = rows_of(warehouse, "shadow_disagreements")
    assert {row["feature"] for row in rows} == {None, "age", "plan", "is_new", "score"}
    cells = {}
    for request in requests:
        if not request.is_answered:
            continue
        for slice_key, slice_value in request.slices.items():
            cells.setdefault((request.live_version, slice_key, slice_value), []).append(request)
    for row in rows:
        if row["feature"] is None:
            chosen = cells[row["live_version"], row["slice_key"], row["slice_value"]]
        elif row["feature"] == "plan":
            chosen = [
                request
                for request in cells[row["live_version"], "all", "all"]
                if (request.plan or "(missing)") == row["category"]
            ]
        elif row["feature"] == "age":
            low, high = row["range_lower"], row["range_upper"]
            chosen = [
                request
                for request in cells[row["live_version"], "all", "all"]
                if (request.age is None) == (row["category"] == "(missing)")
                and (low is None or request.age > low)
                and (high is None or request.age <= high)
            ]
        else:
            continue
        assert row["pair_count"] == len(chosen)
        both = [r for r in chosen if r.live["score"] is not ... or "prediction" in r.live]
        apart = [r for r in both if decision(r.live) != decision(r.shadow)]
        assert row["disagreement_count"] == len(apart)
        known = [(r, r.known(NOW)) for r in apart if r.known(NOW) is not None]
        assert row["labeled_disagreement_count"] == len(known)
        shadow_right = sum(decision(r.shadow) == value for r, value in known)
        assert row["shadow_right_count"] == shadow_right
        assert row["live_right_count"] == len(known) - shadow_right
        distances = {
            r.request_id: abs(r.shadow["score"] - r.live["score"])
            for r in chosen
            if r.live["score"] is not ...
        }
        if distances:
            assert row["mean_absolute_difference"] == pytest.approx(
                np.mean(list(distances.values())), abs=1e-6
            )
        furthest = sorted((d for d in distances.values() if d > 0), reverse=True)[:5]
        assert [distances[name] for name in row["sample_request_ids"]] == pytest.approx(furthest)
        if len(both) < 20:
            assert row["data_status"] in ("insufficient_data", "no_data")
        else:
            assert row["disagreement_rate"] == pytest.approx(len(apart) / len(both))
    ranked = sorted(
        (row for row in rows if row["disagreement_rank"] and row["live_version"] == "v1"),
        key=lambda row: row["disagreement_rank"],
    )
    assert [row["disagreement_rank"] for row in ranked] == list(range(1, len(ranked) + 1))
    lower = [row["disagreement_rate_lower"] for row in ranked]
    assert lower == sorted(lower, reverse=True)


def test_criteria_are_those_of_the_days_so_far(warehouse, requests):
    rows = rows_of(warehouse, "launch_criteria")
    looks = sorted({row["window_end"] for row in rows})
    # From the first day's end to the last's, each once its labels count.
    assert looks == [datetime(2024, 1, day) for day in range(5, 13)]
    assert {row["window_start"] for row in rows} == {datetime(2024, 1, 4)}
    for row in rows:
        chosen = selected(
            requests, row["live_version"], "all", "all", row["window_start"], row["window_end"]
        )
        paired = [request for request in chosen if request.shadow]
        found = labelled(chosen, row["window_end"] + GRACE)
        criterion = row["criterion"]
        if criterion == "labeled_pairs":
            assert row["shadow_value"] == len(found)
            assert row["verdict"] == ("pass" if len(found) >= 400 else "undecided")
        elif criterion == "shadow_days":
            assert row["shadow_value"] == len({request.day for request in paired})
        elif row["data_status"] == "ok":
            y = np.array([value for _, value in found])
            sides = [[getattr(r, s) for r, _ in found] for s in ("live", "shadow")]
            expected = None
            if criterion == "roc_auc":
                expected = [roc_auc_score(y, [a["score"] for a in side]) for side in sides]
            elif criterion == "accuracy":
                expected = [
                    np.mean([decision(a) == v for a, v in zip(side, y, strict=True)])
                    for side in sides
                ]
            elif criterion == "error_rate":
                expected = [
                    np.mean([getattr(r, s)["status"] >= 400 for r in paired])
                    for s in ("live", "shadow")
                ]
            elif criterion == "demographic_parity_difference":
                groups = {
                    group: [i for i, (r, _) in enumerate(found) if r.country == group]
                    for group in ("de", "fr")
                }
                expected = [
                    np.ptp([np.mean([decision(side[i]) for i in g]) for g in groups.values()])
                    for side in sides
                ]
            if expected:
                assert row["live_value"] == pytest.approx(expected[0], abs=1e-3)
                assert row["shadow_value"] == pytest.approx(expected[1], abs=1e-3)
                assert row["difference_lower"] < row["difference"] < row["difference_upper"]
        else:
            assert row["verdict"] == "undecided"
            assert row["difference"] is None
    # 60 % slower, with 1 % allowed.
    newest = [row for row in rows if row["window_end"] == looks[-1] and row["live_version"] == "v1"]
    verdicts = {row["criterion"]: row["verdict"] for row in newest}
    assert verdicts["latency_p95_ms"] == "fail"
    assert verdicts["roc_auc"] == "pass"
    decisions = rows_of(warehouse, "launch_decision")
    (last,) = (row for row in decisions if row["is_newest"] and row["live_version"] == "v1")
    assert last["decision"] == "hold"
    assert "95th percentile of latency" in last["summary"]
    assert {row["decision"] for row in decisions} == {"hold", "not_enough_evidence"}


def test_a_build_day_by_day_equals_one_at_once(requests, warehouse, tmp_path):
    """Files come late, labels too, and the margins change and change back."""
    stepwise = Warehouse(tmp_path / "stepwise", VARS | {"as_of": "2024-01-07"})
    set_deployments(stepwise)
    set_margins(stepwise)
    early = [r for r in requests if r.live_ts < datetime(2024, 1, 7)]
    # The baseline is whole when it is frozen.
    is_late = {r.request_id: r.live_ts >= datetime(2024, 1, 4) and n % 5 == 0
               for n, r in enumerate(early)}  # fmt: skip
    write(stepwise, [r for r in early if not is_late[r.request_id]], "a")
    assert stepwise.build().exit_code == 0
    stepwise.vars["as_of"] = VARS["as_of"]
    write(stepwise, [r for r in early if is_late[r.request_id]], "late")
    write(stepwise, [r for r in requests if r.live_ts >= datetime(2024, 1, 7)], "b")
    set_margins(stepwise, {("roc_auc", ""): 0.0001, ("nonsense", ""): 1})
    build = stepwise.build()
    assert "launch_margins_are_valid" in build.end
    decisions = stepwise.query("select distinct decision from ml_monitoring.launch_decision")
    assert decisions == [("not_enough_evidence",)]
    (text,) = stepwise.query("""
        select distinct summary from ml_monitoring.launch_criteria where criterion = 'nonsense'
    """)[0]
    assert "criterion must be one of" in text
    set_margins(stepwise)
    alone = [
        event(f"alone{n}", ts="2024-01-05T08:00:00Z", model_version="v2", role="shadow")
        for n in range(2)
    ]
    stepwise.write("inference_events/alone.jsonl", alone)
    build = stepwise.build()
    assert build.exit_code == 0, build.end
    for table in (
        "shadow_comparison", "shadow_disagreements", "launch_criteria", "launch_decision",
    ):  # fmt: skip
        query = f"from ml_monitoring.{table} order by all"
        assert stepwise.query(query) == warehouse.query(query), table


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Warehouse:
    """v2's weeks in the shadow, as the project is cloned."""
    folder = tmp_path_factory.mktemp("demo_shadow")
    warehouse = Warehouse(
        folder,
        {
            "monitored_models": PROJECT_VARS["monitored_models"],
            "deployments_relation": None,
            "launch_margins_relation": None,
            "as_of": "2013-07-18",
        },
    )
    days = ["--start", "2013-06-15", "--end", "2013-07-18"]
    generate = ["-m", "demo.generate", "--landing", str(warehouse.landing), "--quiet", *days]
    subprocess.run([sys.executable, *generate], cwd=PROJECT, check=True)
    build = warehouse.build("--select", "+launch_decision")
    assert build.exit_code == 0, build.end
    return warehouse


def test_the_demo_decides_by_the_figures_of_its_landing_files(demo):
    criteria = {
        row["criterion"]: row
        for row in rows_of(demo, "launch_criteria")
        if row["window_end"] == datetime(2013, 7, 15)
    }
    ((decision, summary),) = demo.query(
        "select decision, summary from ml_monitoring.launch_decision where is_newest"
    )
    assert decision == "ship"
    assert summary.startswith("Ship v2 in place of v1: every criterion is met.")
    assert {row["verdict"] for row in criteria.values()} == {"pass"}
    (model,) = PROJECT_VARS["monitored_models"]
    as_of = datetime(2013, 7, 18)
    events, _ = oracle.read_events(demo.landing, as_of, lambda _: {})
    predictions = statistics_oracle.read_predictions(demo.landing, as_of, model)
    keys = ["model_name", "request_id"]

    def pairs(frame):
        sides = [frame[(frame["role"] == role)] for role in ("live", "shadow")]
        live = sides[0][sides[0]["ts"] < datetime(2013, 7, 15)]
        return live.merge(sides[1], on=keys, suffixes=("_live", "_shadow"))

    answered = pairs(events)
    assert criteria["partner_rate"]["shadow_value"] == 1
    for side in ("live", "shadow"):
        value = "live_value" if side == "live" else "shadow_value"
        failed = (answered[f"status_{side}"] >= 400).mean()
        assert criteria["error_rate"][value] == pytest.approx(failed)
        p95 = answered[f"latency_ms_{side}"].astype(float).quantile(0.95)
        assert criteria["latency_p95_ms"][value] == pytest.approx(p95, rel=0.04)

    labels = statistics_oracle.read_labels(demo.landing, as_of, model)
    both = pairs(predictions)
    known = statistics_oracle.known_labels(labels, datetime(2013, 7, 17))
    both["label"] = both["request_id"].map(known)
    both = both[both["label"].notna() & both["score_live"].notna() & both["score_shadow"].notna()]
    y = both["label"].to_numpy(int)
    assert criteria["labeled_pairs"]["shadow_value"] == len(both) > 20_000
    scores = np.array([both["score_live"], both["score_shadow"]], float)
    aucs = [roc_auc_score(y, score) for score in scores]
    auc = criteria["roc_auc"]
    assert (auc["live_value"], auc["shadow_value"]) == pytest.approx(aucs, abs=1e-4)
    for name, score in zip(("live_value", "shadow_value"), scores, strict=True):
        ece = statistics_oracle.calibration(y, score)["ece"]
        assert criteria["ece"][name] == pytest.approx(ece, abs=1e-6)
    for name, side in (("live_value", "live"), ("shadow_value", "shadow")):
        late = both[both["label"] == 1]
        rates = late.groupby("slice origin_live")[f"predicted_{side}"].mean()
        gap = rates.max() - rates.min()
        assert criteria["equal_opportunity_difference"][name] == pytest.approx(gap)
    # What is certain is within what is allowed.
    assert auc["difference_lower"] > -0.01
    assert criteria["latency_p95_ms"]["difference_upper"] < 0.2
