"""On Spark the public tables are those of one machine: every row, every bit."""

import os
import random
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from unittest import mock

import duckdb
import pytest
from pyspark.sql import SparkSession

from built_database import open_to_read
from exporting import export
from sql_text import literal
from tests.integration.warehouse import DEPLOYMENT, MODEL, PROJECT, RULE, TARGET, Warehouse
from tests.integration.warehouse import event as event_of
from tests.integration.warehouse import label as label_of

START = datetime(2024, 1, 1)
SCHEMA = "ml_monitoring"


def tables_of(path: Path) -> dict[str, tuple]:
    """Give a fingerprint of each public table: in any order, of all bits."""
    found = {}
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        names = connection.execute(
            "select table_name from information_schema.tables where table_schema = ?", [SCHEMA]
        ).fetchall()
        for (name,) in names:
            relation = f'{SCHEMA}."{name}"'
            columns = connection.execute(f"describe {relation}").fetchall()
            # The number of a run is not of the data.
            own = [column for column, *_ in columns if column != "load_number"]
            sums = ", ".join(f'sum(hash("{column}")::hugeint)' for column in own)
            whole = connection.execute(
                f"select count(*), sum(hash(found)::hugeint), {sums} from {relation} as found"
            ).fetchall()
            found[name] = ([column[:2] for column in columns], whole)
    return found


def differences(one: Path, other: Path) -> dict[str, list]:
    """Give the columns of public tables that differ, by table."""
    left, right = tables_of(one), tables_of(other)
    assert set(left) == set(right) and len(left) > 40
    found = {}
    for name, (columns, sums) in left.items():
        if (columns, sums) != right[name]:
            names = ["rows", "row", *(column for column, _ in columns)]
            pairs = zip(names, sums[0], right[name][1][0], strict=False)
            found[name] = [column for column, a, b in pairs if a != b] or ["columns"]
    return found


def spark_environment(remote: str | None, folder: Path) -> dict[str, str]:
    environment = {"ML_MONITORING_LAKE": str(folder / "lake")}
    return environment | ({"ML_MONITORING_SPARK": remote} if remote else {})


@pytest.fixture(scope="module")
def landing(tmp_path_factory):
    """The demo's landing files."""
    folder = tmp_path_factory.mktemp("demo") / "landing"
    subprocess.run(
        [sys.executable, "-m", "demo.generate", "--landing", str(folder)], cwd=PROJECT, check=True
    )
    return folder


def test_the_demo_is_the_same_on_a_cluster(tmp_path, landing, remote):
    here = build_demo(tmp_path / "one", landing)
    there = build_demo(
        tmp_path / "many", landing, "--target", "spark",
        **spark_environment(remote, tmp_path / "many"),
    )  # fmt: skip
    assert differences(here, there) == {}
    # What has the size of the events is in the lake alone.
    with duckdb.connect(str(there), read_only=True) as connection:
        kinds = dict(connection.execute(
            "select view_name, 'view' from duckdb_views() union all"
            " select table_name, 'table' from duckdb_tables()"
        ).fetchall())  # fmt: skip
    for name in ("stg_inference_lines", "stg_label_lines", "int_label_history"):
        assert kinds[name] == "view"


def build_demo(folder: Path, landing: Path, *arguments: str, **environment: str) -> Path:
    folder.mkdir()
    database = folder / "demo.duckdb"
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("dbt")), "build", "--exclude-resource-type",
            "unit_test", "test", *arguments,
            "--target-path", str(folder / "target"), "--log-path", str(folder / "logs"),
            "--vars", f"{{landing_path: '{landing}', publish: false}}",
        ],
        cwd=PROJECT, env=os.environ | environment | {"ML_MONITORING_PATH": str(database)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return database


# A smaller project, whose files come late, change and vanish


def records(rng: random.Random, day: int, part: int) -> tuple[list, list]:
    """Give events and labels of a third of a day; some live, some of a shadow too."""
    events, labels = [], []
    for number in range(60):
        ts = START + timedelta(days=day, hours=8 * part, seconds=rng.randrange(8 * 3600))
        key = f"r{day}-{part}-{number}"
        truth = int(rng.random() < 0.4)
        score = min(max(0.35 + 0.3 * truth + rng.gauss(0, 0.2), 0), 1)
        common = {
            "ts": f"{ts.isoformat()}Z",
            "features": {
                "age": rng.randint(18, 80), "plan": rng.choice("abc"), "is_new": rng.random() < 0.5,
            },
            "attributes": {"country": rng.choice(["de", "fr"])},
            "latency_ms": rng.lognormvariate(3, 0.5),
            "status": 500 if rng.random() < 0.03 else 200,
        }  # fmt: skip
        events.append(event_of(key, **common, score=score))
        if day >= 6:
            shadow = {"model_version": "v2", "role": "shadow", "score": min(score + 0.02, 1)}
            events.append(event_of(key, **common | shadow))
        labeled_at = ts + timedelta(hours=rng.choice([3, 20, 60]))
        labels.append(label_of(key, label=truth, labeled_at=f"{labeled_at.isoformat()}Z"))
    return [*events, events[0], "no json"], labels


class Pair:
    """A project, once on one machine and once on Spark, with the same landing files."""

    def __init__(self, folder: Path, remote: str | None):
        self.landing = folder / "landing"
        changes = {"monitored_models": [MODEL], "landing_path": str(self.landing)}
        self.here = Warehouse(folder / "here", changes)
        self.there = Warehouse(folder / "there", changes)
        self.environment = spark_environment(remote, folder)
        for warehouse in (self.here, self.there):
            warehouse.own("slo_targets", TARGET, [{"max_age_hours": "400"}])
            warehouse.own("alert_rules", RULE, [{"threshold": "0.02"}])
            warehouse.own("deployments", DEPLOYMENT, [{}])

    def write(self, path: str, rows: list) -> None:
        target = self.here.write(path, rows)
        destination = self.landing / path
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(target, destination)

    def write_days(self, days: range) -> None:
        rng = random.Random(days.start)
        for day in days:
            for part in range(3):
                events, labels = records(rng, day, part)
                self.write(f"inference_events/{day:02d}/{part}.jsonl.gz", events)
                self.write(f"labels/{day:02d}/{part}.jsonl", labels)

    def start(self, as_of: datetime):
        """Start a build on Spark."""
        self.there.vars["as_of"] = f"{as_of.isoformat()}Z"
        return self.there.start_dbt(
            "build", "--exclude-resource-type", "unit_test", "test", "--target", "spark",
            **self.environment,
        )  # fmt: skip

    def build(self, as_of: datetime) -> None:
        """Build both, and see that they are the same."""
        self.here.vars["as_of"] = f"{as_of.isoformat()}Z"
        build = self.here.dbt("build", "--exclude-resource-type", "unit_test", "test")
        assert build.exit_code == 0, build.end
        build = self.start(as_of).finish()
        assert build.exit_code == 0, build.end
        assert differences(self.here.database, self.there.database) == {}


def test_late_files_changed_files_and_killed_builds(tmp_path, remote):
    pair = Pair(tmp_path, remote)
    pair.write_days(range(0, 12))
    late = tmp_path / "late.jsonl.gz"
    shutil.move(pair.landing / "inference_events/03/1.jsonl.gz", late)
    pair.build(START + timedelta(days=12))

    # Two days more, a file of the fourth day at last, one that is other than it was, one that is
    # gone, and labels that say otherwise.
    pair.write_days(range(12, 14))
    shutil.move(late, pair.landing / "inference_events/03/1.jsonl.gz")
    events, labels = records(random.Random(99), 5, 2)
    pair.write("inference_events/05/2.jsonl.gz", events[:40])
    (pair.landing / "inference_events/07/0.jsonl.gz").unlink()
    turned = [
        row | {"label": 1 - row["label"], "labeled_at": "2024-01-12T06:00:00Z"} for row in labels
    ]
    pair.write("labels/late.jsonl", turned[:20])
    killed = pair.start(START + timedelta(days=14))
    for line in killed.stdout:
        if "int_service_hours: " in line:
            break
    killed.kill()
    pair.build(START + timedelta(days=14))
    # And once more, with nothing new.
    pair.build(START + timedelta(days=14, hours=1))
    # Spark notes where it is in the environment, which later tests give to their builds.
    with mock.patch.dict(os.environ):
        check_tables_of_spark(pair.there.database, tmp_path / "export", remote)


def check_tables_of_spark(database: Path, folder: Path, remote: str) -> None:
    """Exported, the public tables can be tables of Spark, with the same rows."""
    with open_to_read(database, AssertionError) as connection:
        counts = export(connection, SCHEMA, folder)
    assert len(counts) > 40 and sum(map(bool, counts.values())) > 30
    spark = SparkSession.builder.remote(remote).getOrCreate()
    try:
        with duckdb.connect() as connection:
            connection.execute("set timezone = 'UTC'")
            for name, count in counts.items():
                path = literal(folder / f"{name}.parquet")
                spark.sql(f"create table {name} using parquet location {path}")
                of_spark = spark.table(name).toArrow()
                assert of_spark.num_rows == count, name
                connection.register("of_spark", of_spark)
                other = f"from of_spark except all from read_parquet({path})"
                assert connection.execute(other).fetchall() == [], name
    finally:
        spark.stop()


def test_spark_in_one_process(tmp_path):
    """Without a cluster, as a first try on a laptop."""
    pair = Pair(tmp_path, None)
    pair.write_days(range(0, 3))
    pair.build(START + timedelta(days=3))


def test_without_spark_the_reason_is_told(tmp_path):
    pair = Pair(tmp_path, "sc://127.0.0.1:9")
    pair.write_days(range(0, 1))
    build = pair.start(START + timedelta(days=1)).finish()
    assert build.exit_code == 1
    assert "Spark cannot be reached at sc://127.0.0.1:9" in build.output


def test_what_spark_cannot_do_is_refused(tmp_path):
    pair = Pair(tmp_path, None)
    pair.there.vars |= {"raw_retention_days": 90}
    build = pair.start(START + timedelta(days=1)).finish()
    assert build.exit_code != 0
    assert "raw_retention_days" in build.output and "docs/engines.md" in build.output
