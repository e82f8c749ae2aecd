"""Custom metrics equal plain Python over the landing records, and behave like any other metric."""

import copy
import json
import math
import random
import re
from datetime import date, datetime, timedelta

import pytest
import yaml
from dbt.cli.main import dbtRunner

from tests.documents import queries
from tests.integration.schedules import snapshot
from tests.integration.warehouse import MODEL, PROJECT, RULE, TARGET, Warehouse, event, label

COST = (
    "sum(case when prediction = 1 and label = 0 then 5 when prediction = 0 and label = 1 then 20"
    " else 0 end) / count(label)"
)
METRICS = [
    {
        "name": "revenue_of_approved",
        "model": "churn",
        "expression": "sum(attributes.revenue::double) filter (where prediction = 1)",
        "attributes": ["revenue"],
        "slices": ["plan"],
        "windows_days": [1, 3],
        "better": "higher",
    },
    {"name": "mean_age", "expression": "avg(numerical_features.age)", "slices": ["country"]},
    {
        "name": "cost_of_errors",
        "expression": COST,
        "over": "labels",
        "slices": ["country"],
        "windows_days": [1, 7],
        "better": "lower",
    },
    {"name": "fragile", "expression": "avg(attributes.fee::double)", "attributes": ["fee"]},
    {"name": "is_infinite", "expression": "'infinity'::double * max(score)"},
    {"name": "is_nan", "expression": "'nan'::double + max(score)"},
    {"name": "is_null", "expression": "max(score) filter (where score > 1)"},
]
VARS = {
    "monitored_models": [MODEL | {"baseline": {"start": "2024-01-01", "end": "2024-01-03"}}],
    "custom_metrics": METRICS,
    "performance_windows_days": [1, 7],
    "min_samples": 20,
}
#: No request comes on the 6th; on the 8th the fee of one is a word.
DAYS = [date(2024, 1, day) for day in (1, 2, 3, 4, 5, 7, 8, 9)]
AS_OF = "2024-01-11T12:00:00Z"
TARGETS = [
    {
        "slo_name": "cheap errors",
        "metric": "cost_of_errors",
        "window_size": "7d",
        "objective": "0.5",
        "budget_objective": "",
        "max_age_hours": "120",
    },
    {
        "slo_name": "fees are known",
        "metric": "fragile",
        "window_size": "1d",
        "objective": "1e9",
        "budget_objective": "",
        "max_age_hours": "200",
    },
]
RULES = [
    {
        "alert_name": "poor country",
        "metric": "mean_age",
        "slice_key": "*",
        "window_size": "1d",
        "threshold": "20",
        "max_age_hours": "60",
    }
]


def requests(rng):
    """Two versions, one of them a shadow; some errors, missing values and logged classes."""
    events = []
    for day in DAYS:
        for number in range(60):
            for role, version in (("live", "v1"), ("shadow", "v2")):
                score = rng.random()
                events.append(
                    event(
                        f"{day}-{number}",
                        ts=f"{day}T{rng.randrange(24):02d}:{number:02d}:00Z",
                        role=role,
                        model_version=version,
                        status=500 if rng.random() < 0.1 else 200,
                        score=None if rng.random() < 0.05 else score,
                        prediction=rng.choice([..., ..., 0, 1]),
                        features={
                            "age": rng.choice([None, *range(18, 60)]),
                            "plan": rng.choice(["basic", "pro", None]),
                        },
                        attributes={
                            "country": rng.choice(["de", "fr", "o'clock"]),
                            "revenue": round(rng.uniform(-10, 100), 2),
                            "fee": "free" if (day.day, number, role) == (8, 7, "live") else number,
                        },
                    )
                )
    return events


def labels(rng, events):
    """Late by hours or days, some corrected once, some missing; none of the 2nd."""
    found = []
    for record in events:
        if record["role"] == "shadow" or "-02-" in record["request_id"] or rng.random() < 0.2:
            continue
        moment = datetime.fromisoformat(record["ts"]).replace(tzinfo=None)
        for _ in range(rng.choice([1, 1, 2])):
            moment += timedelta(hours=rng.uniform(0, 70), seconds=1)
            found.append(
                label(
                    record["request_id"],
                    label=rng.randrange(2),
                    labeled_at=moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
                )
            )
    return found


def moment_of(text):
    return datetime.fromisoformat(text).replace(tzinfo=None)


def predicted(record):
    if record.get("prediction") in (0, 1):
        return record["prediction"]
    return None if record["score"] is None else int(record["score"] >= 0.5)


def revenue_of_approved(rows):
    values = [row["attributes"]["revenue"] for row, _ in rows if predicted(row) == 1]
    return math.fsum(values) if values else None


def mean_age(rows):
    ages = [row["features"]["age"] for row, _ in rows if row["features"]["age"] is not None]
    return math.fsum(ages) / len(ages) if ages else None


def cost_of_errors(rows):
    costs = {(1, 0): 5, (0, 1): 20}
    return sum(costs.get((predicted(row), known), 0) for row, known in rows) / len(rows)


ORACLES = {"revenue_of_approved": revenue_of_approved, "mean_age": mean_age,
           "cost_of_errors": cost_of_errors}  # fmt: skip


def slices_of(record, keys):
    values = {"plan": record["features"]["plan"], "country": record["attributes"]["country"]}
    return [("all", "all"), *((key, values[key] or "(missing)") for key in keys)]


def expected(metric, events, given_labels, as_of):
    """(value, sample_count) by series, window and label view; only where there are rows."""
    held_after = as_of + timedelta(minutes=60)  # max_clock_skew_minutes
    by_request = {}
    for entry in given_labels:
        by_request.setdefault(entry["request_id"], []).append(
            (moment_of(entry["labeled_at"]), entry["label"])
        )
    over_labels = metric.get("over") == "labels"
    groups = {}
    for record in events:
        if record["status"] >= 400:
            continue
        day = datetime.combine(moment_of(record["ts"]).date(), datetime.min.time())
        versions = by_request.get(record["request_id"], [])
        for size in metric.get("windows_days", [1]):
            for ahead in range(1, size + 1):
                end = day + timedelta(days=ahead)
                if end > as_of:
                    continue
                for view, until in (
                    [("latest", held_after), ("as_known", end + timedelta(hours=48))]
                    if over_labels
                    else [(None, None)]
                ):
                    known = [v for v in versions if until and v[0] <= min(until, held_after)]
                    if over_labels and not known:
                        continue
                    for slice_of in slices_of(record, metric.get("slices", [])):
                        key = (record["role"], *slice_of, f"{size}d", end, view)
                        groups.setdefault(key, []).append(
                            (record, max(known)[1] if known else None)
                        )
    compute = ORACLES[metric["name"]]
    return {key: (compute(rows), len(rows)) for key, rows in groups.items()}


def set_up(warehouse):
    warehouse.own("slo_targets", TARGET, TARGETS)
    warehouse.own("alert_rules", RULE, RULES)


@pytest.fixture(scope="module")
def records():
    rng = random.Random(5)
    events = requests(rng)
    return events, labels(rng, events)


@pytest.fixture(scope="module")
def built(tmp_path_factory, records):
    """Built at once, with everything that had come by AS_OF."""
    warehouse = Warehouse(tmp_path_factory.mktemp("custom"), VARS | {"as_of": AS_OF})
    set_up(warehouse)
    events, given_labels = records
    warehouse.write("inference_events/all.jsonl", events)
    warehouse.write("labels/all.jsonl", given_labels)
    warehouse.first = warehouse.build()
    return warehouse


@pytest.mark.parametrize("metric", METRICS[:3], ids=lambda metric: metric["name"])
def test_values_equal_plain_python(built, records, metric):
    wanted = expected(metric, *records, datetime(2024, 1, 11, 12))
    held = {
        key: rest
        for *key, value, count, status in built.query(
            "select role, slice_key, slice_value, window_size, window_end, label_view, value,"
            " sample_count, data_status from ml_monitoring.custom_metrics"
            " where metric = ? and sample_count > 0",
            metric["name"],
        )
        for key, rest in [(tuple(key), (value, count, status))]
    }
    assert held.keys() == wanted.keys()
    known = 0
    for key, (value, count) in wanted.items():
        found, found_count, status = held[key]
        assert found_count == count
        if status == "ok":
            known += 1
            assert count >= 20
            assert found == pytest.approx(value, rel=1e-12)
        else:
            assert found is None
            assert status == "immature" or count < 20
    assert known > 20


def test_status_of_what_has_no_value(built):
    rows = dict(
        built.query(
            "select metric, list(distinct data_status order by data_status)"
            " from ml_monitoring.custom_metrics where role = 'live' and slice_key = 'all'"
            " and window_end < timestamp '2024-01-09' group by metric"
        )
    )
    for name in ("is_infinite", "is_nan", "is_null"):
        assert rows[name] == ["not_estimable"]
    assert rows["fragile"] == ["ok"]
    assert rows["cost_of_errors"] == ["immature", "no_data", "ok"]
    # A day without requests has no row, as in the other tables of windows.
    assert not built.query(
        "from ml_monitoring.custom_metrics where window_end = timestamp '2024-01-07'"
        " and window_size = '1d'"
    )


def test_an_expression_that_fails_on_a_row(built):
    """The window of that row has no value, and a warning says so; the others have theirs."""
    rows = built.query(
        "select role, window_end, data_status, problem from ml_monitoring.custom_metrics"
        " where metric = 'fragile' and data_status <> 'ok'"
    )
    assert rows == [
        ("live", datetime(2024, 1, 9), "not_estimable",
         "Conversion Error: Could not convert string '...' to DOUBLE")
    ]  # fmt: skip
    assert "custom_metrics_that_fail" in built.first.output
    assert "free" not in built.first.output


def test_it_is_a_metric_like_any_other(built):
    rows = built.query(
        "select metric, count(*), count(value), any_value(home_table)"
        " from ml_monitoring.monitoring_metrics where home_table = 'custom_metrics' group by metric"
    )
    assert {row[0] for row in rows} == {metric["name"] for metric in METRICS}
    assert built.first.exit_code == 1, built.first.end
    statuses = built.query(
        "select is_breached, sli_value from ml_monitoring.slo_status"
        " where slo_name = 'cheap errors' and model_version = 'v1'"
    )
    assert [is_breached for is_breached, value in statuses if value > 0.5] == [True]
    assert "cheap errors" in built.first.output
    alerts = built.query(
        "select state, slice_key, count(*) from ml_monitoring.alerts"
        " where alert_name = 'poor country' group by all"
    )
    assert "firing" in {row[0] for row in alerts}
    assert {row[1] for row in alerts} == {"country"}


def test_step_by_step_equals_at_once(built, records, tmp_path):
    """Files that come day by day, labels late, and a metric that changes on the way."""
    events, given_labels = records
    warehouse = Warehouse(tmp_path, copy.deepcopy(VARS))
    set_up(warehouse)
    changed = copy.deepcopy(METRICS)
    changed[1]["expression"] = "max(numerical_features.age)"
    del changed[0]["slices"]
    for as_of, metrics, late in (
        ("2024-01-05T06:00:00Z", changed, 2),
        ("2024-01-09T12:00:00Z", METRICS[1:], 1),
        (AS_OF, METRICS, 0),
    ):
        now = moment_of(as_of)
        known = [
            record for record in events if moment_of(record["ts"]) < now - timedelta(days=late)
        ]
        for name, part in (("first", known[::2]), ("late", known[1::2] if not late else [])):
            warehouse.write(f"inference_events/{name}.jsonl", part)
        come = [entry for entry in given_labels if moment_of(entry["labeled_at"]) < now or not late]
        warehouse.write("labels/all.jsonl", come)
        warehouse.vars |= {"as_of": as_of, "custom_metrics": metrics}
        run = warehouse.dbt("run")
        assert run.exit_code == 0, run.end
    found, at_once = snapshot(warehouse), snapshot(built)
    for table in ("custom_metrics", "monitoring_metrics", "slo_status", "alerts"):
        assert found[table] == at_once[table], table
    assert len(found["custom_metrics"]) > 300


def test_only_what_changed_is_computed_anew(records, tmp_path):
    """One more day of events touches its own windows, and those of no other day or metric."""
    events, _ = records
    warehouse = Warehouse(tmp_path, copy.deepcopy(VARS) | {"as_of": AS_OF})
    select = ("run", "--select", "+custom_metrics")
    warehouse.write("inference_events/all.jsonl", events)
    assert warehouse.dbt(*select).exit_code == 0
    # What is left as it is keeps this mark.
    table = "ml_monitoring_internal.int_custom_metrics"
    warehouse.execute(f"update {table} set sample_count = -1")
    warehouse.write("inference_events/more.jsonl", [event("more", ts="2024-01-04T10:00:00Z")])
    assert warehouse.dbt(*select).exit_code == 0
    anew = set(warehouse.query(
        f"select metric, window_size, window_end from {table} where sample_count >= 0"
    ))  # fmt: skip
    one_day = {
        (metric["name"], "1d", date(2024, 1, 5)) for metric in METRICS if "over" not in metric
    }
    three_days = {("revenue_of_approved", "3d", date(2024, 1, day)) for day in (5, 6, 7)}
    assert anew == one_day | three_days
    # Another expression: that metric alone.
    warehouse.execute(f"update {table} set sample_count = -1")
    warehouse.vars["custom_metrics"] = [
        metric | ({"expression": "min(score)"} if metric["name"] == "mean_age" else {})
        for metric in METRICS
    ]
    assert warehouse.dbt(*select).exit_code == 0
    assert warehouse.query(f"select distinct metric from {table} where sample_count >= 0") == [
        ("mean_age",)
    ]


MINE = {"name": "mine", "model": "churn", "expression": "avg(score)"}
BEYOND = {"name": "forecast", "task": "multiclass_classification", "features": [],
          "slices": ["plan"]}  # fmt: skip
WRONG = [
    ("mine", "it must be a list"),
    (MINE, "it must be a list"),
    (["mine"], "(number 1) without a `name`"),
    ([MINE | {"name": 7}], "without a `name`"),
    ([MINE | {"name": "My metric"}], "no plain identifier"),
    ([MINE | {"name": "f1"}], "that of a built-in metric"),
    ([MINE, MINE], "twice"),
    ([MINE | {"treshold": 1}], "unknown key `treshold`"),
    ([MINE | {"model": "chrun"}], "none of the monitored models"),
    ([MINE | {"expression": ""}], "without an `expression`"),
    ([MINE | {"expression": 5}], "without an `expression`"),
    ([MINE | {"over": "rows"}], "it must be one of events, labels"),
    ([MINE | {"better": "up"}], "it must be one of higher, lower, none"),
    ([MINE | {"slices": "plan"}], "list of names"),
    ([MINE | {"slices": ["origin"]}], "none of the slices of its model"),
    ([MINE | {"slices": ["plan", "plan"]}], "there twice"),
    ([MINE | {"windows_days": 7}], "list of days"),
    ([MINE | {"windows_days": []}], "list of days"),
    ([MINE | {"windows_days": [0]}], "from 1 to 366"),
    ([MINE | {"windows_days": [True]}], "from 1 to 366"),
    ([MINE | {"over": "labels", "windows_days": [3]}], "no label coverage"),
    ([MINE | {"over": "labels", "model": "forecast"}], "more than two classes"),
    ([MINE | {"attributes": "fee"}], "list of names"),
    ([MINE | {"attributes": ['f"e']}], "quotation marks"),
    ([MINE | {"attributes": ["Country"]}], "which is spelled `country` elsewhere"),
    ([MINE | {"expression": "avg(label)"}], 'Referenced column "label" not found'),
    ([MINE | {"expression": "score"}], "It is no aggregate"),
    ([MINE | {"expression": "avg(score"}], "parentheses"),
    ([MINE | {"expression": "max(request_id)"}], "no number"),
    ([MINE | {"expression": "max((from read_text('/etc/hostname')))"}], "subquery"),
    ([MINE | {"expression": "avg(attributes.fee::double)"}], "Could not find key"),
]


def test_wrong_declarations_stop_with_the_reason(tmp_path):
    """In this process, on a manifest parsed once."""
    common = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT / "profiles"),
              "--target-path", str(tmp_path / "target"), "--log-path", str(tmp_path),
              "--quiet"]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_MONITORING_PATH", str(tmp_path / "warehouse.duckdb"))
        patch.chdir(PROJECT)
        messages = []
        runner = dbtRunner(
            manifest=dbtRunner().invoke(["parse", *common]).result,
            callbacks=[lambda message: messages.append(message.info.msg)],
        )
        for given, problem in [*WRONG, ([MINE], None), ([MINE | {"model": None}], None)]:
            messages.clear()
            models = [*VARS["monitored_models"], BEYOND]
            own = json.dumps(VARS | {"monitored_models": models, "custom_metrics": given})
            result = runner.invoke(["run-operation", "validate_config", *common, "--vars", own])
            message = "\n".join(messages)
            assert result.success == (problem is None), (given, message)
            if problem:
                assert "The var `custom_metrics`" in message and problem in message, message
                example = message.split("A right example")[1]
                assert "custom_metrics:\n" in example or "performance_windows_days: " in example


def test_a_wrong_declaration_stops_a_build(tmp_path):
    warehouse = Warehouse(tmp_path, {"custom_metrics": [MINE | {"expression": "avg(scoer)"}]})
    build = warehouse.dbt("build")
    assert build.exit_code != 0
    for part in ("The var `custom_metrics` has the metric `mine`", 'Referenced column "scoer"',
                 "A right example", "custom_metrics:\n"):  # fmt: skip
        assert part in build.output
    assert not warehouse.query("from duckdb_tables() where schema_name = 'ml_monitoring'")


WRONG_TARGETS = [
    ({"metric": "mean_age", "slice_key": "plan"}, "none of the slices of this custom metric"),
    ({"metric": "mean_age", "window_size": "7d"}, "none that the metric"),
    ({"metric": "revenue_of_approved", "model_name": "other"}, "not of this model"),
]


def test_wrong_targets_are_named_with_the_reason(tmp_path):
    models = [*VARS["monitored_models"], MODEL | {"name": "other"}]
    warehouse = Warehouse(tmp_path, VARS | {"monitored_models": models})
    targets = [
        {"slo_name": str(number), "window_size": "1d"} | target
        for number, (target, _) in enumerate(WRONG_TARGETS)
    ]
    warehouse.own("slo_targets", TARGET, [*targets, *TARGETS])
    warehouse.own("alert_rules", RULE, RULES)
    assert warehouse.dbt("run", "--select", "+stg_alert_rules").exit_code == 0
    found = dict(
        warehouse.query("select slo_name, problem from ml_monitoring_internal.stg_slo_targets")
    )
    for number, (_, problem) in enumerate(WRONG_TARGETS):
        assert problem in found[str(number)]
    assert {found[target["slo_name"]] for target in TARGETS} == {None}
    # `*` is for each of the metric's slices, and for no other.
    assert warehouse.query(
        "select distinct slice_key, problem from ml_monitoring_internal.stg_alert_rules"
    ) == [("country", None)]


def test_the_worked_example_of_the_docs(built):
    """Its declarations are valid and give what plain Python gives."""
    text = (PROJECT / "docs" / "custom_metrics.md").read_text()
    examples = {
        metric["name"]: metric
        for block in re.findall(r"^```yaml\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
        for metric in yaml.safe_load(block)["vars"]["custom_metrics"]
    }
    # What the other tests compare with plain Python is what the docs show.
    assert examples["revenue_of_approved"] == METRICS[0]
    assert examples["cost_of_errors"] == METRICS[2]
    assert len(examples) == 2
    for sql in queries(text):
        assert built.query(sql)
