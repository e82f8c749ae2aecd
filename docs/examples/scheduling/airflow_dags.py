"""Airflow: everything each hour, one task a model; the minutes in between.

The tasks of the models watch one ``dbt build``: DuckDB lets one process write, all models have to
look back from the same moment, and what is published is of one build.

``ML_MONITORING_HOME`` is the folder of the project, in which ``make build`` has run once: then
there are its ``.venv`` and ``target/manifest.json``. ``ML_MONITORING_PATH`` is the database, as an
absolute path, since cosmos runs dbt in a folder of its own.
"""

import os
from datetime import datetime
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
from cosmos import DbtDag, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import ExecutionMode, InvocationMode, LoadMode, TestBehavior

HOME = Path(os.environ["ML_MONITORING_HOME"])
DATABASE = os.environ["ML_MONITORING_PATH"]
DBT = HOME / ".venv" / "bin" / "dbt"
COMMON = {
    "start_date": datetime(2026, 1, 1),
    "catchup": False,  # a build makes up for all that were missed
    "max_active_runs": 1,
    "default_args": {"retries": 0},  # a broken objective is as broken in a second try
    "tags": ["ml_monitoring"],
}

everything = DbtDag(
    dag_id="ml_monitoring",
    schedule="5 * * * *",  # the logs of the hour are there by then
    project_config=ProjectConfig(
        dbt_project_path=HOME,
        manifest_path=HOME / "target" / "manifest.json",
        project_name="ml_monitoring",
        install_dbt_deps=False,
        env_vars={"ML_MONITORING_PATH": DATABASE, "ML_MONITORING_LOCK_WAIT": "600"},
    ),
    profile_config=ProfileConfig(
        profile_name="ml_monitoring",
        target_name="duckdb",
        profiles_yml_filepath=HOME / "profiles" / "profiles.yml",
    ),
    render_config=RenderConfig(
        load_method=LoadMode.DBT_MANIFEST,
        # In the one build; the tests of the objectives are among them, and fail its task.
        test_behavior=TestBehavior.AFTER_EACH,
        emit_datasets=False,
    ),
    operator_args={
        "dbt_cmd_flags": ["--exclude-resource-type", "unit_test"],
        # Airflow 3.2 and 3.3 fail a deferred task now and then as it resumes.
        "deferrable": False,
    },
    execution_config=ExecutionConfig(
        execution_mode=ExecutionMode.WATCHER,
        invocation_mode=InvocationMode.SUBPROCESS,
        dbt_executable_path=DBT,
    ),
    **COMMON,
)

with DAG(dag_id="ml_monitoring_minutes", schedule="* * * * *", **COMMON) as minutes:
    BashOperator(
        task_id="stream",
        bash_command=(
            f"{DBT} --quiet build --select tag:streaming --exclude-resource-type unit_test"
            " --target-path target/streaming"
        ),
        cwd=str(HOME),
        env={"ML_MONITORING_PATH": DATABASE, "ML_MONITORING_LOCK_WAIT": "0"},
        append_env=True,
        # Another build is at work: the next run catches up.
        skip_on_exit_code=2,
    )
