"""Dagster: an asset for each model; everything each hour, the minutes in between.

``ML_MONITORING_HOME`` is the folder of the project, in which ``make build`` has run once: then
there are its ``.venv`` and ``target/manifest.json``. ``ML_MONITORING_PATH`` is the database.
"""

import os
from pathlib import Path

from dagster import AssetExecutionContext, Definitions
from dagster_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliResource,
    build_schedule_from_dbt_selection,
    dbt_assets,
)

HOME = Path(os.environ["ML_MONITORING_HOME"])
MANIFEST = HOME / "target" / "manifest.json"


@dbt_assets(
    manifest=MANIFEST,
    # A failed test then fails its run, as it fails `dbt build`.
    dagster_dbt_translator=DagsterDbtTranslator(
        DagsterDbtTranslatorSettings(enable_asset_checks=False)
    ),
)
def ml_monitoring(context: AssetExecutionContext, dbt: DbtCliResource):
    """Run one `dbt build` of what a schedule selects."""
    arguments = ["build", "--exclude-resource-type", "unit_test"]
    yield from dbt.cli(arguments, context=context).stream()


# A broken objective is as broken in a second try: no retries. A run that finds another at work
# waits for it (ML_MONITORING_LOCK_WAIT, in seconds).
definitions = Definitions(
    assets=[ml_monitoring],
    schedules=[
        build_schedule_from_dbt_selection(
            [ml_monitoring], job_name="everything", cron_schedule="5 * * * *", dbt_select="fqn:*"
        ),
        build_schedule_from_dbt_selection(
            [ml_monitoring],
            job_name="minutes",
            cron_schedule="* * * * *",
            dbt_select="tag:streaming",
        ),
    ],
    resources={
        "dbt": DbtCliResource(
            project_dir=str(HOME),
            profiles_dir=str(HOME / "profiles"),
            dbt_executable=str(HOME / ".venv" / "bin" / "dbt"),
        )
    },
)
