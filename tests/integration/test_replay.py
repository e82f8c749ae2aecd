"""A replay at T equals a build from only the files that had arrived by T."""

import csv
import os
import shutil
import subprocess
import sys
from datetime import datetime

import yaml

from tests.integration.warehouse import PROJECT, Warehouse

AT = "2013-07-16T15:05:00Z"


def test_replay_equals_a_build_from_what_had_arrived(demo_landing, tmp_path):
    replay = subprocess.run(
        [
            sys.executable,
            "-m",
            "demo.replay",
            "--at",
            AT,
            "--landing",
            str(demo_landing),
            "--replays",
            str(tmp_path / "replays"),
        ],
        cwd=PROJECT,
        env={name: value for name, value in os.environ.items() if name != "ML_MONITORING_PATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "SLO report as of 2013-07-16 15:05:00 UTC" in replay.stdout, replay.stdout[-3000:]

    project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())
    warehouse = Warehouse(
        tmp_path / "own",
        {
            "monitored_models": project["vars"]["monitored_models"],
            "slo_targets_relation": None,
            "alert_rules_relation": None,
            "deployments_relation": None,
            "launch_margins_relation": None,
            "as_of": AT,
        },
    )
    with (demo_landing.parent / "arrivals.csv").open() as file:
        arrivals = {row["file_path"]: row["arrived_at"] for row in csv.DictReader(file)}
    at = datetime.fromisoformat(AT)
    arrived = [path for path, when in arrivals.items() if datetime.fromisoformat(when) <= at]
    assert 0 < len(arrived) < len(arrivals)
    for path in arrived:
        (warehouse.landing / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(demo_landing / path, warehouse.landing / path)
    build = warehouse.build()
    assert build.exit_code == replay.returncode

    (database,) = (tmp_path / "replays").glob("*/warehouse.duckdb")
    replayed = Warehouse(tmp_path / "replayed")
    replayed.execute("drop schema own cascade")
    shutil.copy(database, replayed.database)
    for path in (PROJECT / "models" / "marts").rglob("*.sql"):
        query = f"from ml_monitoring.{path.stem} order by all"
        assert replayed.query(query) == warehouse.query(query), path.stem
    assert len(warehouse.query("from ml_monitoring.service_levels")) > 100
