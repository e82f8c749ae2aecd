"""A wrong configuration stops with what is wrong and a right example."""

import copy
import json
import random
import shutil

import duckdb
import pytest
from dbt.cli.main import dbtRunner

from tests.integration.warehouse import MODEL, PROJECT, TARGET, Warehouse, event, label


def changed(**changes):
    """Copy the valid model with some keys changed; ``...`` takes a key away."""
    model = copy.deepcopy(MODEL) | changes
    return [{key: value for key, value in model.items() if value is not ...}]


def intersections(pairs, *more_slices):
    return changed(
        slices=["plan", "country", *more_slices],
        protected_attributes=["plan", "country"],
        protected_intersections=pairs,
    )


def feature(name, kind="numerical"):
    return {"name": name, "type": kind}


WRONG_MODELS = [
    (None, "is not set"),
    ([], "at least one model"),
    ("churn", "must be a list"),
    ({"name": "churn"}, "must be a list"),
    (["churn"], "without a `name`"),
    (changed(name=""), "without a `name`"),
    (changed(name=7), "without a `name`"),
    (changed() + changed(), "twice"),
    (changed(task="classification"), "it must be one of binary_classification"),
    (changed(task=...), "has the task"),
    (changed(treshold=0.5), "unknown key `treshold`"),
    (changed(decision_threshold="high"), "decision_threshold"),
    (changed(decision_threshold=True), "decision_threshold"),
    (changed(min_label_coverage=1.5), "min_label_coverage"),
    (changed(min_label_coverage=-0.5), "min_label_coverage"),
    (changed(label_grace_hours=-1), "label_grace_hours"),
    (changed(latency_threshold_ms=0), "latency_threshold_ms `0`; it must be a number above 0"),
    (changed(latency_threshold_ms=-1.5), "latency_threshold_ms `-1.5`"),
    (changed(latency_threshold_ms="250ms"), "latency_threshold_ms `250ms`"),
    (changed(latency_threshold_ms=True), "latency_threshold_ms `True`"),
    (changed(latency_threshold_ms=2e9), "latency_threshold_ms"),
    (changed(baseline="2024"), "baseline"),
    (changed(baseline={"days": 0}), "whole number from 1"),
    (changed(baseline={"days": 1.5}), "whole number from 1"),
    (changed(baseline={"start": "2024-01-08", "end": "2024-01-01"}), "start before end"),
    (changed(baseline={"start": "2024-01-01", "end": "2024-02-30"}), "start before end"),
    (changed(baseline={"start": "2024-01-01T10:00:00Z", "end": "2024-02-01"}), "must be dates"),
    (changed(baseline={"start": "2024-01-01"}), "it must be {start, end} or {days}"),
    (changed(baseline={"revision": 2}), "it must be {start, end} or {days}"),
    (changed(baseline={"days": 2, "revision": 1}), "whole number from 2"),
    (changed(baseline={"days": 2, "revision": "2"}), "whole number from 2"),
    (changed(baseline={"days": 2, "revision": True}), "whole number from 2"),
    (changed(baseline={"path": "train.csv"}), "the path `train.csv`; it must be that of a Parquet"),
    (changed(baseline={"path": 7}), "Parquet file"),
    (changed(baseline={"relation": "a..b"}), "the relation `a..b`; it must name a relation"),
    (changed(baseline={"relation": 7}), "must name a relation"),
    (changed(baseline={"path": "a.parquet", "relation": "a.b"}), "for a training set {path} or"),
    (changed(baseline={"path": "a.parquet", "days": 2}), "it must be {start, end} or {days}"),
    (changed(baseline={"days": 2, "model_version": "v1"}), "it must be {start, end} or {days}"),
    (changed(baseline={"path": "a.parquet", "model_version": 1}), "the model_version `1`"),
    (changed(features=...), "needs `features`"),
    (changed(features="age"), "needs `features`"),
    (changed(features=["age"]), "it must be {name: ..., type: ...}"),
    (changed(features=[feature("age", "number")]), "it must be {name: ..., type: ...}"),
    (changed(features=[feature("age") | {"unit": "y"}]), "it must be {name: ..., type: ...}"),
    (changed(features=[feature("age") | {"importance": -1}]), "the importance `-1`"),
    (changed(features=[feature("age") | {"importance": "high"}]), "the importance `high`"),
    (changed(features=[feature("age") | {"importance": True}]), "the importance `True`"),
    (
        changed(features=[feature("plan") | {"importance": 1}, feature("age")]),
        "all features of a model have one, or none has",
    ),
    (changed(features=[feature("score")]), "a feature named `score`"),
    (
        changed(features=[feature("opened", "timestamp")], slices=["opened"]),
        "slices by the timestamp feature `opened` without breaks",
    ),
    (changed(features=[feature("Score")]), "a feature named `Score`"),
    (
        changed(task="multiclass_classification", features=[feature("prediction")]),
        "a feature named `prediction`",
    ),
    (changed(features=[feature("age"), feature("Age")]), "twice"),
    (changed(features=[feature('a"b')]), "quotation marks"),
    (changed(features=[feature("a\\b")]), "backslashes"),
    (changed(features=[feature("a\nb")]), "control characters"),
    (changed(features=[feature("")]), "a name is text"),
    (changed(features=[feature(5)]), "a name is text"),
    (changed(features=[feature("(none)")]), "a name is text"),
    (changed(slices=["all"]), "which is taken"),
    (changed(slices=["plan", "plan"]), "which is taken"),
    (changed(slices=[{"breaks": [1]}]), "a name is text"),
    (changed(slices=["age"]), "without breaks"),
    (changed(slices=[{"name": "age", "breaks": [30, 18]}]), "numbers that rise"),
    (changed(slices=[{"name": "age", "breaks": ["x"]}]), "numbers that rise"),
    (changed(protected_attributes=["gender"]), "not one of its slices"),
    (intersections("plan"), "must be a list of pairs"),
    (intersections(["plan"]), "two different attributes"),
    (intersections([["plan"]]), "two different attributes"),
    (intersections([["plan", "plan"]]), "two different attributes"),
    (intersections([["plan", "country", "plan"]]), "two different attributes"),
    (intersections([["plan", "age"]]), "none of its protected attributes"),
    (intersections([["plan", "country"], ["country", "plan"]]), "whose name is taken"),
    (intersections([["plan", "country"]], "country x plan"), "whose name is taken"),
    (
        changed() + changed(name="other", features=[feature("AGE")], slices=[]),
        "spells one name in two ways",
    ),
    (
        changed(features=[feature("age")], slices=[])
        + changed(name="other", features=[feature("age", "timestamp")], slices=[]),
        "as numerical in one model and as a timestamp in another",
    ),
]
WRONG_VARS = [
    ({"as_of": "2024-13-01"}, "as_of", "is no moment"),
    ({"max_clock_skew_minutes": -1}, "max_clock_skew_minutes", "whole number from 0"),
    ({"performance_windows_days": []}, "performance_windows_days", "list of days"),
    ({"performance_windows_days": [0]}, "performance_windows_days", "from 1 to 366"),
    ({"landing_path": ""}, "landing_path", "path of a folder"),
    ({"drift_windows_days": 7}, "drift_windows_days", "list of days"),
    ({"drift_windows_days": "7d"}, "drift_windows_days", "list of days"),
    ({"drift_windows_days": [1, 367]}, "drift_windows_days", "from 1 to 366"),
    ({"drift_windows_days": [1.5]}, "drift_windows_days", "from 1 to 366"),
    ({"baseline_grace_days": -1}, "baseline_grace_days", "whole number from 0"),
    ({"baseline_grace_days": 0.5}, "baseline_grace_days", "whole number from 0"),
    ({"version_baseline_days": 0}, "version_baseline_days", "whole number from 1"),
    ({"drift_bins": 9}, "drift_bins", "whole number from 10"),
    ({"drift_bins": "200"}, "drift_bins", "whole number from 10"),
    ({"psi_floor": 0}, "psi_floor", "number between 0 and 0.01"),
    ({"psi_floor": 0.01}, "psi_floor", "number between 0 and 0.01"),
    ({"psi_floor": "low"}, "psi_floor", "number between 0 and 0.01"),
    ({"psi_moderate": 0}, "psi_moderate", "number between 0 and 100"),
    ({"psi_moderate": True}, "psi_moderate", "number between 0 and 100"),
    ({"psi_moderate": 0.3}, "psi_moderate", "above psi_significant, `0.25`"),
    ({"psi_significant": -0.25}, "psi_significant", "number between 0 and 100"),
    ({"psi_significant": 0.05}, "psi_moderate", "above psi_significant, `0.05`"),
    ({"calibration_bins": 1}, "calibration_bins", "whole number from 2"),
    ({"calibration_bins": None}, "calibration_bins", "whole number from 2"),
    ({"min_samples": 0}, "min_samples", "whole number from 1"),
    ({"min_samples": False}, "min_samples", "whole number from 1"),
    ({"min_samples_per_class": 0}, "min_samples_per_class", "whole number from 1"),
    ({"estimation_reference_days": 0}, "estimation_reference_days", "whole number from 1"),
    ({"estimation_reference_days": "28"}, "estimation_reference_days", "whole number from 1"),
    ({"labels_relation": "a.b.c.d"}, "labels_relation", "must name a relation"),
    ({"publish": "yes"}, "publish", "true or false"),
    ({"publish": 1}, "publish", "true or false"),
    (
        {
            "raw_retention_days": 79,
            "custom_metrics": [{"name": "x", "expression": "avg(score)", "windows_days": [40]}],
        },
        "raw_retention_days",
        "from 80",
    ),
]


@pytest.fixture(scope="module")
def run_operation(tmp_path_factory):
    """Run a macro of the project in this process, on a manifest parsed once."""
    folder = tmp_path_factory.mktemp("operation")
    common = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT / "profiles"),
              "--target-path", str(folder / "target"), "--log-path", str(folder / "logs"),
              "--quiet"]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_MONITORING_PATH", str(folder / "warehouse.duckdb"))
        patch.chdir(PROJECT)
        parsed = dbtRunner().invoke(["parse", *common])
        assert parsed.success, parsed.exception
        messages = []
        runner = dbtRunner(
            manifest=parsed.result, callbacks=[lambda event: messages.append(event.info.msg)]
        )

        def run(macro, /, own_vars=None, **arguments):
            messages.clear()
            result = runner.invoke(
                ["run-operation", macro, "--args", json.dumps(arguments), *common,
                 "--vars", json.dumps(own_vars or {})]
            )  # fmt: skip
            return result.success, "\n".join(messages)

        yield run


def test_valid_model_is_accepted(run_operation):
    assert run_operation("validate_monitored_models", models=changed())[0]
    assert run_operation("validate_monitored_models", models=changed(baseline={"days": 14}))[0]
    for threshold in (None, 250, 0.5):
        models = changed(latency_threshold_ms=threshold)
        assert run_operation("validate_monitored_models", models=models)[0]
    several = changed() + changed(name="größe 'x'", slices=[{"name": "age", "breaks": [1, 2.5]}])
    assert run_operation("validate_monitored_models", models=several)[0]


@pytest.mark.parametrize(("models", "problem"), WRONG_MODELS)
def test_wrong_model_is_refused(run_operation, models, problem):
    success, message = run_operation("validate_monitored_models", models=models)
    assert not success
    assert "monitored_models" in message and problem in message
    assert "A right example" in message


@pytest.mark.parametrize(("changes", "name", "problem"), WRONG_VARS)
def test_wrong_var_is_refused(run_operation, changes, name, problem):
    success, message = run_operation("validate_config", changes)
    assert not success
    assert f"The var `{name}`" in message and problem in message
    # The example is of the same var.
    assert f"{name}: " in message.split("A right example")[1]


def test_vars_at_their_bounds_are_accepted(run_operation):
    bounds = {
        "drift_windows_days": [366, 1], "baseline_grace_days": 0, "version_baseline_days": 1,
        "drift_bins": 10, "psi_floor": 0.0099, "psi_moderate": 0.2, "psi_significant": 0.2,
        "calibration_bins": 2, "min_samples": 1, "min_samples_per_class": 1,
    }  # fmt: skip
    assert run_operation("validate_config", bounds)[0]
    assert not run_operation("validate_config", bounds | {"psi_significant": 0.19})[0]


def test_wrong_var_stops_a_build(tmp_path):
    build = Warehouse(tmp_path).dbt("build", drift_bins=9)
    assert build.exit_code != 0
    assert "The var `drift_bins` is `9`; it must be a whole number from 10." in build.output


def test_as_of_only_moves_forward(tmp_path):
    warehouse = Warehouse(tmp_path)
    warehouse.write("inference_events/a.jsonl", [event()])
    quick = ("--select", "+service_levels,resource_type:model")
    assert warehouse.build(*quick, as_of="2024-02-01").exit_code == 0
    refused = warehouse.build(*quick, as_of="2024-01-31")
    assert refused.exit_code != 0
    assert "time only moves forward" in refused.output and "make replay" in refused.output
    assert warehouse.query("select as_of::varchar from ml_monitoring_internal.int_as_of") == [
        ("2024-02-01 00:00:00",)
    ]
    assert warehouse.build(*quick, as_of="2024-02-02").exit_code == 0


DRIFT = {"metric": "psi", "feature": "age", "window_size": "7d"}
AUC = {"metric": "roc_auc", "window_size": "7d"}
GAP = {"metric": "equalized_odds_difference", "slice_key": "country", "window_size": "7d"}
RIGHT_TARGETS = [
    DRIFT,
    DRIFT | {"feature": "score", "comparison": "previous", "slice_key": "plan"},
    DRIFT | {"feature": "*", "comparison": "baseline"},
    AUC | {"window_size": "30d", "slice_key": "plan"},
    GAP,
    GAP | {"slice_key": "country x plan"},
    AUC | {"slice_key": "country x plan"},
    {"metric": "slow_rate", "window_size": "10m"},
    {"metric": "labeled_count", "window_size": "7d", "slice_key": "plan"},
    {"metric": "label_correction_rate", "role": "all", "window_size": "1d"},
]
WRONG_TARGETS = [
    ({"slo_name": ""}, "slo_name is empty"),
    ({"model_name": "chrun"}, "none of the monitored models"),
    ({"model_name": ""}, "none of the monitored models"),
    ({"role": "canary"}, "role must be"),
    ({"metric": "latency_p96_ms"}, "metric must be one of"),
    ({"slice_key": "country_code"}, "none of the slices"),
    ({"window_size": "1w"}, "window_size must be like"),
    ({"window_size": "0h"}, "window_size must be like"),
    ({"window_size": "10m", "slice_key": "plan"}, "whole models"),
    ({"metric": "label_coverage", "window_size": "2d"}, "none that the metric"),
    ({"metric": "reject_rate", "role": "all", "window_size": "6h"}, "none that the metric"),
    ({"metric": "reject_rate", "window_size": "1d"}, "role must be all"),
    ({"role": "all"}, "role must be live or shadow"),
    ({"window_size": "90m"}, "whole hours"),
    ({"metric": "is_unexpectedly_silent", "slice_key": "plan"}, "slice_key must be all"),
    ({"feature": "age"}, "leave feature empty"),
    ({"feature": "*"}, "leave feature empty"),
    (AUC | {"feature": "score"}, "leave feature empty"),
    (AUC | {"window_size": "2d"}, "none that the metric"),
    ({"metric": "labeled_count"}, "none that the metric"),
    ({"metric": "label_correction_rate", "window_size": "1d"}, "role must be all"),
    ({"metric": "corrected_label_count", "role": "all", "window_size": "6h"}, "none that the"),
    (DRIFT | {"feature": ""}, "feature must be a feature of the model"),
    (DRIFT | {"feature": "agee"}, "feature must be a feature of the model"),
    (DRIFT | {"comparison": "last week"}, "comparison must be baseline or previous"),
    (DRIFT | {"window_size": "14d"}, "none that the metric"),
    (GAP | {"slice_key": "is_new"}, "none of the protected attributes"),
    (GAP | {"slice_key": "all"}, "none of the protected attributes"),
    ({"slice_key": "country x plan"}, "only metrics of labels are by intersections"),
    (DRIFT | {"slice_key": "country x plan"}, "only metrics of labels are by intersections"),
    (AUC | {"slice_key": "plan x country"}, "none of the slices"),
    ({"metric": "is_unexpectedly_silent", "window_size": "1d"}, "none that the metric"),
    ({"comparator": "="}, "comparator must be"),
    ({"objective": "low"}, "objective must be"),
    ({"objective": "nan"}, "objective must be"),
    ({"budget_objective": "99"}, "budget_objective must be"),
    ({"budget_objective": "1"}, "budget_objective must be"),
    ({"min_requests": "-1"}, "min_requests must be"),
    ({"min_requests": "few"}, "min_requests must be"),
    ({"max_age_hours": "0"}, "max_age_hours must be"),
    ({"max_age_hours": "old"}, "max_age_hours must be"),
    ({"on_missing": "shrug"}, "on_missing must be"),
    ({"severity": "critical"}, "severity must be"),
    ({"runbook": ""}, "runbook is empty"),
    ({"model_name": "no threshold", "metric": "slow_rate"}, "needs latency_threshold_ms"),
    ({"model_name": "no threshold", "metric": "slow_count"}, "needs latency_threshold_ms"),
]


def test_wrong_targets_are_named_with_the_reason(tmp_path):
    targets = [{"slo_name": f"wrong {n}"} | change for n, (change, _) in enumerate(WRONG_TARGETS)]
    targets += [{}, {"slo_name": "twice"}, {"slo_name": "twice"}]
    optional = ("role", "slice_key", "budget_objective", "min_requests", "max_age_hours")
    optional += ("on_missing", "severity")
    targets += [{"slo_name": "bare"} | dict.fromkeys(optional, "")]
    targets += [{"slo_name": f"right {n}"} | change for n, change in enumerate(RIGHT_TARGETS)]
    models = changed(
        slices=["plan", "country", "is_new"],
        protected_attributes=["country", "plan"],
        protected_intersections=[["country", "plan"]],
    )
    models += changed(name="no threshold", latency_threshold_ms=...)
    warehouse = Warehouse(tmp_path, {"monitored_models": models})
    warehouse.own("slo_targets", TARGET | {"comparison": ""}, targets)
    build = warehouse.dbt("run", "--select", "+stg_slo_targets")
    assert build.exit_code == 0, build.end
    found = dict(
        warehouse.query("select slo_name, problem from ml_monitoring_internal.stg_slo_targets")
    )
    for number, (change, problem) in enumerate(WRONG_TARGETS):
        name = change.get("slo_name", f"wrong {number}")
        assert problem in (found[name] or ""), (change, found[name])
    assert found["twice"] == "slo_name is not unique"
    assert found["errors"] is None and found["bare"] is None
    for number, change in enumerate(RIGHT_TARGETS):
        assert found[f"right {number}"] is None, change
    # A wrong target fails the build: it must not go unjudged in silence.
    test = warehouse.dbt("build", "--select", "+stg_slo_targets", "slo_targets_are_valid")
    assert test.exit_code == 1 and "slo_targets_are_valid" in test.output


def test_targets_may_do_without_the_column_comparison(tmp_path):
    """It came later than the others: a relation of the user's may lack it."""
    warehouse = Warehouse(tmp_path)
    form = {column: value for column, value in TARGET.items() if column != "comparison"}
    warehouse.own("slo_targets", form, [DRIFT])
    build = warehouse.dbt("run", "--select", "+stg_slo_targets")
    assert build.exit_code == 0, build.end
    found = warehouse.query(
        "select slo_name, comparison, problem from ml_monitoring_internal.stg_slo_targets"
    )
    assert found == [("errors", "baseline", None)]


# Names that are no identifiers, mean something in SQL or Jinja, or are columns of our own tables.
HARD_MODEL = {
    "name": "größe 'x'",
    "task": "binary_classification",
    "baseline": {"days": 3},
    "features": [
        feature("größe 'x'"),
        feature("select"),
        feature("bin"),
        feature("a b.c", "categorical"),
        feature("'; drop table x; --", "categorical"),
        feature("0", "boolean"),
    ],
    "slices": [
        {"name": "größe 'x'", "breaks": [0]},
        "a b.c",
        "'; drop table x; --",
        "0",
        "$1 %s {{ as_of }}",
    ],
    "protected_attributes": ["a b.c", "$1 %s {{ as_of }}"],
}


def hard_events(days, each_day):
    """Give events and labels of the model of hard names; a new category comes on the last day."""
    rng = random.Random(3)
    events, labels = [], []
    for number in range(days * each_day):
        day, place = divmod(number, each_day)
        score = rng.random()
        ts = f"2024-03-{day + 1:02d}T{place * 24 // each_day:02d}:00:00Z"
        values = {
            "größe 'x'": rng.gauss(0, 1),
            "select": None if place % 4 == 0 else rng.random(),
            "bin": rng.randint(1, 5),
            "a b.c": "ß\"'" if day == days - 1 and place % 2 else rng.choice(["x", "y'", "<b>"]),
            "'; drop table x; --": rng.choice(["select 1", "{{ x }}"]),
            "0": rng.random() < 0.5,
        }
        attributes = {"$1 %s {{ as_of }}": rng.choice(["o'", "p%s"])}
        events.append(
            event(f"r{number}", model="größe 'x'", ts=ts, score=score, features=values,
                  attributes=attributes)
        )  # fmt: skip
        labels.append(label(f"r{number}", label=int(rng.random() < score), labeled_at=ts))
    return events, labels


def test_hard_names_pass_through_every_table(tmp_path):
    warehouse = Warehouse(tmp_path, {"monitored_models": [HARD_MODEL], "as_of": "2024-03-10"})
    events, labels = hard_events(days=9, each_day=200)
    warehouse.write("inference_events/e.jsonl", events)
    warehouse.write("labels/l.jsonl", labels)
    hard = {"model_name": "größe 'x'", "objective": "0", "max_age_hours": "200"}
    targets = [
        DRIFT | {"slo_name": "it's 1", "feature": "größe 'x'", "slice_key": "a b.c"},
        DRIFT | {"slo_name": "each", "feature": "*", "window_size": "1d"},
        GAP | {"slo_name": "gap", "slice_key": "$1 %s {{ as_of }}", "objective": "1"},
    ]
    warehouse.own("slo_targets", TARGET, [hard | target for target in targets])
    build = warehouse.build("--exclude", "path:tests/slo")
    assert build.exit_code == 0, build.end

    names = {feature["name"] for feature in HARD_MODEL["features"]} | {"score"}
    slices = {"all", "größe 'x'", "a b.c", "'; drop table x; --", "0", "$1 %s {{ as_of }}"}
    last_day = "window_size = '1d' and window_end = '2024-03-10'"
    found = warehouse.query(
        "select feature, comparison, current_count, current_null_rate, new_category_rate"
        f" from ml_monitoring.feature_drift where slice_key = 'all' and {last_day}"
        " and data_status = 'ok'"
    )
    assert sorted(found) == sorted(
        (
            name,
            comparison,
            200,
            0.25 if name == "select" else 0,
            {"a b.c": 0.5, "'; drop table x; --": 0, "0": 0}.get(name),
        )
        for name in names
        for comparison in ("baseline", "previous")
    )
    for table in ("feature_drift", "model_performance", "calibration"):
        query = f"select distinct slice_key from ml_monitoring.{table}"
        assert {key for (key,) in warehouse.query(query)} == slices, table
    values = warehouse.query(
        "select slice_value, current_count from ml_monitoring.feature_drift"
        f" where slice_key = 'a b.c' and feature = 'bin' and {last_day} and comparison = 'previous'"
    )
    assert {value for value, _ in values} == {"x", "y'", "<b>", "ß\"'"}
    assert dict(values)["ß\"'"] == 100
    # The cells of PSI hold what PSI was computed from, by their names.
    cells = warehouse.frame("select * from ml_monitoring.feature_distributions")
    drift = warehouse.frame("select * from ml_monitoring.feature_drift where data_status = 'ok'")
    keys = ["slice_key", "slice_value", "window_size", "window_end", "feature", "comparison"]
    counts = ["baseline_count", "current_count"]
    sums = cells.groupby(keys)[counts].sum()
    assert len(sums) > 1000
    assert sums.equals(drift.set_index(keys)[counts].sort_index())
    of_feature = cells[(cells["feature"] == "'; drop table x; --") & (cells["slice_key"] == "all")]
    assert set(of_feature["category"]) == {"select 1", "{{ x }}"}
    gaps = warehouse.query(
        "select distinct slice_key from ml_monitoring.fairness where data_status = 'ok'"
    )
    assert {key for (key,) in gaps} == {"a b.c", "$1 %s {{ as_of }}"}

    status = warehouse.query(
        "select slo_name, slice_key, feature from ml_monitoring.slo_status"
        " where data_status = 'ok' and slice_value in ('all', ?)",
        "y'",
    )
    assert set(status) == {("it's 1", "a b.c", "größe 'x'"), ("gap", "$1 %s {{ as_of }}", None)} | {
        ("each", "all", name) for name in names
    }
    told = warehouse.query(
        "select summary, likely_cause from ml_monitoring.slo_report where feature = 'a b.c'"
    )
    assert len(told) == 1
    assert "größe 'x' v1: psi of a b.c over 1d is " in told[0][0]
    assert "50 % of the values are " in told[0][1]


def test_relations_give_the_same_tables_as_files(tmp_path):
    """Events and labels in relations of the user's own, typed as warehouses type them."""
    events = [
        event(f"r{n}", ts=f"2024-01-{10 + n % 3}T{n % 24:02d}:00:00Z", status=200 + n % 2 * 300,
              latency_ms=n * 1.5, score=n / 50, model_version=f"v{n % 2}",
              features={"age": n, "plan": ("basic", None)[n % 2], "is_new": n % 2 == 0},
              attributes={"country": "dé"})
        for n in range(50)
    ]  # fmt: skip
    labels = [label(f"r{n}", label=n % 2) for n in range(0, 50, 2)]
    files = Warehouse(tmp_path / "files")
    files.write("inference_events/e.jsonl", events)
    files.write("labels/l.jsonl", labels)
    relations = Warehouse(
        tmp_path / "relations",
        {"inference_events_relation": "own.events", "labels_relation": "own.labels"},
    )
    shutil.copytree(files.landing, tmp_path / "source")
    with duckdb.connect(str(relations.database)) as connection:
        connection.execute(
            "create table own.events as select * replace (ts::timestamptz as ts) from"
            f" read_json('{tmp_path}/source/inference_events/e.jsonl', columns = {{"
            "request_id: 'varchar', ts: 'varchar', model: 'varchar', model_version: 'varchar',"
            " status: 'integer', latency_ms: 'double', score: 'double',"
            " features: 'struct(age double, plan varchar, is_new boolean)', attributes: 'json'})"
        )
        connection.execute(
            "create table own.labels as select request_id, label::double as label,"
            f" labeled_at::timestamp as labeled_at from '{tmp_path}/source/labels/l.jsonl'"
        )
    tables = ["service_levels", "service_levels_minute", "label_coverage", "service_traffic"]
    for warehouse in (files, relations):
        build = warehouse.build("--exclude", "path:tests/slo")
        assert build.exit_code == 0, build.end
    for table in tables:
        query = f"from ml_monitoring.{table} order by all"
        assert files.query(query) == relations.query(query) != []
    # A changed row is noticed.
    relations.execute("update own.events set latency_ms = 1000 where request_id = 'r7'")
    assert relations.build("--exclude", "path:tests/slo").exit_code == 0
    worst = relations.query("select max(latency_max_ms) from ml_monitoring.service_levels")
    assert worst == [(1000.0,)]
