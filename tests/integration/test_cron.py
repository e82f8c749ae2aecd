"""What cron calls: it builds, and ends as the build did."""

import fcntl
import json
import os
import re
import subprocess

import pytest

from tests.integration.warehouse import DEPLOYMENT, PROJECT, TARGET, event

SCRIPT = PROJECT / "docs" / "examples" / "scheduling" / "monitor.sh"


@pytest.fixture
def monitor(warehouse):
    """Call it for a warehouse: what it printed, and its exit code."""

    def call(what):
        targets = ["--target-path", str(warehouse.folder / "target")]
        logs = ["--log-path", str(warehouse.folder / "logs")]
        return subprocess.run(
            [SCRIPT, what, *targets, *logs, "--vars", json.dumps(warehouse.vars)],
            env=os.environ | {"ML_MONITORING_PATH": str(warehouse.database)},
            cwd=warehouse.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    return call


def test_the_minutes_are_streamed_or_give_way(monitor, warehouse):
    done = monitor("minutes")
    assert done.returncode == 0, done.stdout
    assert warehouse.query("select count(*) from ml_monitoring.service_levels_minute") == [(0,)]
    with warehouse.database.with_name("warehouse.duckdb.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = monitor("minutes")
    assert done.returncode == 2
    assert "Another build is at work" in done.stdout


def test_a_page_is_the_exit_code_of_the_build_and_is_sent(monitor, warehouse):
    warehouse.vars["as_of"] = "2024-01-10T13:00:00Z"
    warehouse.own("slo_targets", TARGET, [{}])
    warehouse.own("deployments", DEPLOYMENT, [{}])
    warehouse.write("inference_events/a.jsonl", [event(status=503, score=...)])
    done = monitor("build")
    assert done.returncode == 1, done.stdout[-3000:]
    assert "PAGE  errors" in done.stdout
    # The notifier has run after it, and says that it has nowhere to send to.
    assert "Nothing to notify is configured" in done.stdout


def test_anything_else_is_refused(monitor):
    assert monitor("hourly").returncode == 2


def test_the_lines_of_cron_call_it_as_it_can_be_called():
    lines = re.findall(
        r"^#   (\S+ \S+ \S+ \S+ \S+)  \S+?/(docs\S+) +(\w+)", SCRIPT.read_text(), re.M
    )
    assert lines == [
        ("5 * * * *", str(SCRIPT.relative_to(PROJECT)), "build"),
        ("* * * * *", str(SCRIPT.relative_to(PROJECT)), "minutes"),
    ]
    assert os.access(SCRIPT, os.X_OK)
