"""A wrong configuration stops with what is wrong and a right example."""

import copy
import json
import shutil

import duckdb
import pytest
from dbt.cli.main import dbtRunner

from tests.integration.warehouse import MODEL, PROJECT, TARGET, Warehouse, event, label


def changed(**changes):
    """Copy the valid model with some keys changed; ``...`` takes a key away."""
    model = copy.deepcopy(MODEL) | changes
    return [{key: value for key, value in model.items() if value is not ...}]


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
    (changed(baseline="2024"), "baseline"),
    (changed(baseline={"days": 0}), "whole number from 1"),
    (changed(baseline={"days": 1.5}), "whole number from 1"),
    (changed(baseline={"start": "2024-01-08", "end": "2024-01-01"}), "start before end"),
    (changed(baseline={"start": "2024-01-01", "end": "2024-02-30"}), "start before end"),
    (changed(baseline={"start": "2024-01-01T10:00:00Z", "end": "2024-02-01"}), "must be dates"),
    (changed(baseline={"start": "2024-01-01"}), "it must be {start, end} or {days}"),
    (changed(features=...), "needs `features`"),
    (changed(features="age"), "needs `features`"),
    (changed(features=["age"]), "it must be {name: ..., type: ...}"),
    (changed(features=[feature("age", "number")]), "it must be {name: ..., type: ...}"),
    (changed(features=[feature("age") | {"unit": "y"}]), "it must be {name: ..., type: ...}"),
    (changed(features=[feature("score")]), "a feature named `score`"),
    (changed(features=[feature("Score")]), "a feature named `score`"),
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
    (
        changed() + changed(name="other", features=[feature("AGE")], slices=[]),
        "spells one name in two ways",
    ),
]
WRONG_VARS = [
    ({"as_of": "2024-13-01"}, "as_of", "is no moment"),
    ({"max_clock_skew_minutes": -1}, "max_clock_skew_minutes", "whole number from 0"),
    ({"performance_windows_days": []}, "performance_windows_days", "list of days"),
    ({"performance_windows_days": [0]}, "performance_windows_days", "from 1 to 366"),
    ({"landing_path": ""}, "landing_path", "path of a folder"),
    ({"labels_relation": "a.b.c.d"}, "labels_relation", "must name a relation"),
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

        def run(macro, **arguments):
            messages.clear()
            result = runner.invoke(
                ["run-operation", macro, "--args", json.dumps(arguments), *common]
            )
            return result.success, "\n".join(messages)

        yield run


def test_valid_model_is_accepted(run_operation):
    assert run_operation("validate_monitored_models", models=changed())[0]
    assert run_operation("validate_monitored_models", models=changed(baseline={"days": 14}))[0]
    several = changed() + changed(name="größe 'x'", slices=[{"name": "age", "breaks": [1, 2.5]}])
    assert run_operation("validate_monitored_models", models=several)[0]


@pytest.mark.parametrize(("models", "problem"), WRONG_MODELS)
def test_wrong_model_is_refused(run_operation, models, problem):
    success, message = run_operation("validate_monitored_models", models=models)
    assert not success
    assert "monitored_models" in message and problem in message
    assert "A right example" in message


@pytest.mark.parametrize(("changes", "name", "problem"), WRONG_VARS)
def test_wrong_var_is_refused(tmp_path, changes, name, problem):
    warehouse = Warehouse(tmp_path)
    run = warehouse.dbt("run-operation", "validate_config", **changes)
    assert run.exit_code != 0
    assert f"`{name}`" in run.output and problem in run.output
    assert "A right example" in run.output


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
]


def test_wrong_targets_are_named_with_the_reason(tmp_path):
    targets = [{"slo_name": f"wrong {n}"} | change for n, (change, _) in enumerate(WRONG_TARGETS)]
    targets += [{}, {"slo_name": "twice"}, {"slo_name": "twice"}]
    optional = ("role", "slice_key", "budget_objective", "min_requests", "max_age_hours")
    optional += ("on_missing", "severity")
    targets += [{"slo_name": "bare"} | dict.fromkeys(optional, "")]
    warehouse = Warehouse(tmp_path)
    warehouse.own("slo_targets", TARGET, targets)
    build = warehouse.dbt("run", "--select", "+stg_slo_targets")
    assert build.exit_code == 0, build.end
    found = dict(
        warehouse.query("select slo_name, problem from ml_monitoring_restricted.stg_slo_targets")
    )
    for number, (change, problem) in enumerate(WRONG_TARGETS):
        name = change.get("slo_name", f"wrong {number}")
        assert problem in (found[name] or ""), (change, found[name])
    assert found["twice"] == "slo_name is not unique"
    assert found["errors"] is None and found["bare"] is None
    # A wrong target fails the build: it must not go unjudged in silence.
    test = warehouse.dbt("build", "--select", "+stg_slo_targets", "slo_targets_are_valid")
    assert test.exit_code == 1 and "slo_targets_are_valid" in test.output


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
