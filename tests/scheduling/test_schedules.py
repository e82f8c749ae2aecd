"""The examples of schedules, each loaded by its own tool: run by `make test-schedules`."""

import fcntl
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
EXAMPLES = PROJECT / "docs" / "examples" / "scheduling"


def load(name: str):
    """Import an example."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A folder of the project without data, for which the environment is set."""
    folder = tmp_path_factory.mktemp("home")
    for name in [".venv", "analyses", "dbt_project.yml", "macros", "models", "profiles",
                 "profiles.yml", "python_udfs", "seeds", "tests"]:  # fmt: skip
        (folder / name).symlink_to(PROJECT / name)
    os.environ |= {
        "ML_MONITORING_HOME": str(folder),
        "ML_MONITORING_PATH": str(folder / "warehouse.duckdb"),
        "ML_MONITORING_LOCK_WAIT": "0",
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
    subprocess.run([folder / ".venv/bin/dbt", "--quiet", "parse"], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="session")
def built_nodes(home):
    """Models and seeds, by their names: their tags."""
    nodes = json.loads((home / "target" / "manifest.json").read_text())["nodes"].values()
    found = {
        node["name"]: node["tags"] for node in nodes if node["resource_type"] in ("model", "seed")
    }
    assert len(found) > 150
    return found


@pytest.fixture(scope="session")
def dags(home):  # noqa: ARG001
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(EXAMPLES / "airflow_dags.py"))
    assert bag.import_errors == {}
    return bag.dags


def test_airflow_has_a_task_for_each_model(dags, built_nodes):
    tasks = [task.task_id for task in dags["ml_monitoring"].tasks]
    runs = [
        re.sub(r"[._](run|seed)$", "", task)
        for task in tasks
        if re.search(r"[._](run|seed)$", task)
    ]
    assert sorted(runs) == sorted(built_nodes)


def test_airflow_runs_one_build_for_all(dags, home):
    tasks = dags["ml_monitoring"].tasks
    (producer,) = [task for task in tasks if task.task_id == "dbt_producer_watcher"]
    watching = [task for task in tasks if hasattr(task, "producer_task_id")]
    assert len(watching) > 150
    assert not any(task.deferrable for task in watching)
    command, environment = producer.build_cmd({}, producer.dbt_cmd_flags)
    assert [str(part) for part in command[:2]] == [str(home / ".venv/bin/dbt"), "build"]
    assert "--select" not in command
    assert "--resource-type" not in command, "tests are left out"
    assert environment["ML_MONITORING_PATH"] == str(home / "warehouse.duckdb")
    # Each other task waits for the build, and none of them runs dbt a second time.
    assert {task.retries for task in tasks} == {0}
    for task in tasks:
        if task is not producer:
            assert "dbt_producer_watcher" in task.get_flat_relative_ids(upstream=True), task.task_id


def test_airflow_never_runs_two_builds_of_one_kind(dags):
    assert {dag.max_active_runs for dag in dags.values()} == {1}
    assert {dag.catchup for dag in dags.values()} == {False}


def test_the_minutes_of_airflow_run_and_give_way_to_another_build(dags, home):
    (task,) = dags["ml_monitoring_minutes"].tasks

    def run():
        return subprocess.run(
            task.bash_command, shell=True, cwd=task.cwd, env=os.environ | task.env, check=False
        ).returncode

    assert run() == 0
    with (home / "warehouse.duckdb.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert [run()] == task.skip_on_exit_code


@pytest.fixture(scope="session")
def definitions(home):  # noqa: ARG001
    return load("dagster_definitions").definitions


def selected(definitions, job: str) -> set[str]:
    """Names of the models that a job builds."""
    job = definitions.resolve_job_def(job)
    return {key.path[-1] for key in job.asset_layer.executable_asset_keys}


def test_dagster_has_an_asset_for_each_model(definitions, built_nodes):
    assert selected(definitions, "everything") == set(built_nodes)


def test_dagster_streams_the_models_of_the_minutes(definitions, built_nodes):
    streaming = {name for name, tags in built_nodes.items() if "streaming" in tags}
    assert len(streaming) > 3
    assert selected(definitions, "minutes") == streaming


def test_dagster_runs_the_minutes(definitions):
    result = definitions.resolve_job_def("minutes").execute_in_process(raise_on_error=False)
    assert result.success
    assert "service_levels_minute" in {
        event.asset_key.path[-1] for event in result.get_asset_materialization_events()
    }


def validate(workflow: Path) -> int:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    return subprocess.run([*command, "vendor.github-workflows", workflow], check=False).returncode


def test_the_workflow_of_github_is_one(tmp_path):
    workflow = EXAMPLES / "github_actions.yml"
    assert validate(workflow) == 0
    broken = tmp_path / "broken.yml"
    broken.write_text(workflow.read_text().replace("runs-on:", "run-on:"))
    assert validate(broken) == 1


def test_the_workflow_of_github_runs_what_there_is():
    (job,) = yaml.safe_load((EXAMPLES / "github_actions.yml").read_text())["jobs"].values()
    commands = [shlex.split(step["run"]) for step in job["steps"] if "run" in step]
    targets = re.findall(r"^([a-z-]+):.*## ", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert [command[0] for command in commands] == ["make", "make"]
    assert {target for _, target in commands} <= set(targets)
