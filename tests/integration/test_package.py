"""Another project has this one as a package: it builds, and each keeps what is its own."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
import yaml

from tests.integration.warehouse import MODEL, PROJECT, event

OTHER_PROJECT = Path(__file__).parent / "other_project"
REQUESTS = range(21 * 96)
DAY = timedelta(days=1)
#: Names that mean something to dbt itself: another project's own would be used by dbt.
DBT_NAMES = {"ref", "generate_schema_name"}


class OtherProject:
    """A copy of the other project, with the package installed.

    In a process of its own: the tests' own process can import ``python_udfs`` anyway.
    """

    def __init__(self, folder: Path):
        self.folder = folder / "shop"
        shutil.copytree(OTHER_PROJECT, self.folder)
        packages = self.folder / "packages.yml"
        packages.write_text(packages.read_text().replace("../../..", str(PROJECT)))
        done = self.dbt("deps")
        assert done.returncode == 0, done.stdout

    @property
    def database(self) -> Path:
        return self.folder / "shop.duckdb"

    def dbt(self, command: str, *arguments: str, **variables) -> subprocess.CompletedProcess:
        dbt = [Path(sys.executable).with_name("dbt"), "--no-use-colors", command, *arguments]
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ML_MONITORING", "PYTHONPATH", "DBT_", "SHOP"))
        }
        return subprocess.run(
            [*dbt, "--vars", json.dumps(variables)] if variables else dbt,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def configure(self, change) -> None:
        """Change what is in its dbt_project.yml."""
        path = self.folder / "dbt_project.yml"
        settings = yaml.safe_load(path.read_text())
        change(settings)
        path.write_text(yaml.safe_dump(settings))

    def query(self, sql: str, database: str = "shop.duckdb") -> list[tuple]:
        with duckdb.connect(str(self.folder / database), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    @property
    def manifest(self) -> dict:
        return json.loads((self.folder / "target" / "manifest.json").read_text())


def macro_names() -> set[str]:
    """Return the names of all macros of this project, but for those that may be replaced."""
    return {
        name
        for path in (PROJECT / "macros").rglob("*.sql")
        for name in re.findall(r"{%-?\s*macro (\w+)", path.read_text())
        # `default__hash64` of the root project is dbt's own way to replace that of a package.
        if "__" not in name
    } - DBT_NAMES


def add_namesakes(project: OtherProject) -> None:
    """Give the project models and macros of all names that are taken here."""
    models = project.folder / "models" / "namesakes"
    models.mkdir()
    for path in [*(PROJECT / "models").rglob("*.sql"), *(PROJECT / "models").rglob("*.py")]:
        if path.stem != "alerts":
            (models / f"{path.stem}.sql").write_text(
                "{{ config(materialized='ephemeral') }} select 'of the shop' as whose"
            )
    (project.folder / "macros" / "namesakes.sql").write_text(
        "\n".join(
            f"{{% macro {name}() %}}{{{{ exceptions.raise_compiler_error("
            f"'{name} of the shop was called') }}}}{{% endmacro %}}"
            for name in sorted(macro_names())
        )
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    project = OtherProject(tmp_path_factory.mktemp("other"))
    add_namesakes(project)
    project.build = project.dbt("build")
    return project


def test_the_first_build_gets_through(shop):
    assert shop.build.returncode == 0, shop.build.stdout[-3000:]
    # Labels of the last day came after as_of, and the shop's own target is not met.
    assert sorted(re.findall(r"Warning in test (\w+)", shop.build.stdout)) == [
        "held_lines",
        "slo_ticket",
    ]
    assert "Done. PASS=" in shop.build.stdout
    assert re.search(r"WARN=2 ERROR=0 SKIP=0", shop.build.stdout)


def test_figures_are_of_the_relations_of_the_other_project(shop):
    day_of = [
        date(2024, 3, 1) + timedelta(minutes=15 * step) // timedelta(days=1) * DAY
        for step in REQUESTS
    ]
    errors = Counter(day for day, step in zip(day_of, REQUESTS, strict=True) if step % 40 == 0)
    expected = sorted((day, errors[day]) for day in set(day_of))
    assert shop.query("select * from shop_core.error_days order by all") == expected

    def is_right(step):
        return (step * 37 % 100 >= 50) == ((step * 37 % 100 > 50) != (step % 7 == 0))

    # The newest day with labels that are known after its end and the grace of two days.
    of_day = [
        step
        for day, step in zip(day_of, REQUESTS, strict=True)
        if day == date(2024, 3, 18) and step % 40
    ]
    assert shop.query(
        """
        select labeled_count, round(accuracy, 9) from watch.model_performance
        where
            window_size = '1d' and window_start = '2024-03-18' and slice_key = 'all'
            and label_view = 'latest'
        """
    ) == [(len(of_day), round(sum(map(is_right, of_day)) / len(of_day), 9))]


def test_targets_are_those_of_the_other_project(shop):
    rows = shop.query(
        "select slo_name, slice_value, is_breached from watch.slo_status order by all"
    )
    assert rows == [
        ("few_errors", "all", False),
        ("quick_for_all", "basic", True),
        ("quick_for_all", "pro", True),
    ]


def test_each_project_has_schemas_of_its_own(shop):
    names = [
        name
        for _, name in shop.query(
            "select distinct schema_name, schema_name from duckdb_tables() union"
            " select distinct schema_name, schema_name from duckdb_views() where not internal"
        )
    ]
    assert sorted(names) == ["shop_core", "watch", "watch_internal", "watch_restricted"]
    assert shop.query("select count(*) from shop_core.alerts") == shop.query(
        "select count(*) from watch.alerts"
    )


def test_what_is_published_is_of_the_package(shop):
    names = {
        name
        for (name,) in shop.query(
            "select relation_name from watch.published_build", "shop_published.duckdb"
        )
    }
    assert {"alerts", "service_levels", "fairness"} <= names
    nodes = shop.manifest["nodes"].values()
    assert names == {
        node["name"]
        for node in nodes
        if node["resource_type"] == "model"
        and node["package_name"] == "ml_monitoring"
        and node["schema"] == "watch"
    }


def test_each_project_reads_its_own_models(shop):
    """Every model of this project has a namesake in the other one."""
    manifest = shop.manifest
    nodes = manifest["nodes"] | manifest["exposures"]
    foreign = {
        parent
        for node in nodes.values()
        if node["package_name"] == "ml_monitoring"
        for parent in node["depends_on"]["nodes"]
        if ".ml_monitoring." not in parent
    }
    assert foreign == {
        "model.shop.predictions",
        "model.shop.outcomes",
        "seed.shop.slo_targets",
        "seed.shop.deployments",
    }
    ours = {
        node["name"]
        for node in nodes.values()
        if node["package_name"] == "ml_monitoring" and node["resource_type"] == "model"
    }
    theirs = {node["name"] for node in nodes.values() if node["package_name"] == "shop"}
    assert len(ours) > 150 and ours <= theirs


def test_nothing_of_the_demo_and_of_the_maintainers_comes_along(shop):
    manifest = shop.manifest
    assert not manifest["unit_tests"]
    assert not [key for key in manifest["nodes"] if key.startswith("seed.ml_monitoring.")]
    assert shop.query("select distinct model_name from watch.monitoring_metrics") == [("basket",)]
    assert shop.query("select model_name from watch_internal.int_monitored_models") == [("basket",)]


def test_vars_that_are_not_set_have_the_defaults_of_the_readme(shop):
    defaults = dict(
        re.findall(
            r"^\| `(\w+)` \| `([^`]+)` \|", (PROJECT / "README.md").read_text(), flags=re.MULTILINE
        )
    )
    with duckdb.connect(str(shop.database), read_only=True) as connection:
        (settings,) = (
            connection.sql("select * from watch_internal.int_settings").to_arrow_table().to_pylist()
        )
    compared = {name: value for name, value in settings.items() if name in defaults}
    assert len(compared) > 10
    assert {name: json.loads(defaults[name]) for name in compared} == compared


def test_namesakes_are_refused_where_dbt_would_mix_them_up(tmp_path):
    project = OtherProject(tmp_path)
    add_namesakes(project)
    project.configure(lambda settings: settings.pop("flags"))
    # It reads the alerts of the package: together with the mixture that would be a circle.
    (project.folder / "models" / "alerts.sql").unlink()
    done = project.dbt("build")
    assert done.returncode == 2
    assert "require_ref_searches_node_package_before_root: true" in done.stdout
    assert re.search(r"models named as models of ml_monitoring are: .*\bint_as_of\b", done.stdout)
    assert not project.database.exists() or project.query("select 1 from duckdb_tables()") == []


@pytest.fixture
def plain(tmp_path):
    """Another project with one model to monitor, files, and nothing else: no labels, no targets."""
    project = OtherProject(tmp_path)

    def reduce(settings):
        settings.pop("flags")
        settings["vars"] = {"monitored_models": [MODEL]}

    project.configure(reduce)
    for path in [*(project.folder / "models").iterdir(), *(project.folder / "seeds").iterdir()]:
        path.unlink()
    return project


def test_a_project_with_events_alone(plain):
    """No labels, protected attributes, shadow, targets, rules: the tables of these are empty."""
    landing = plain.folder / "data" / "landing" / "inference_events"
    landing.mkdir(parents=True)
    (landing / "day.jsonl").write_text(
        "".join(json.dumps(event(f"r{number}")) + "\n" for number in range(7))
    )
    before = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    done = plain.dbt("build")
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"ERROR=0 SKIP=0", done.stdout)
    assert plain.query(
        """
        select sum(request_count) from ml_monitoring.service_levels
        where window_size = '1d' and slice_key = 'all'
        """
    ) == [(7,)]
    for table in ["fairness", "shadow_comparison", "slo_status", "alerts", "launch_decision"]:
        assert plain.query(f"select count(*) from ml_monitoring.{table}") == [(0,)], table
    statuses = "select distinct labeled_count, data_status from ml_monitoring.model_performance"
    assert plain.query(statuses) == [(0, "no_data")]
    # The moment of the demo is not that of another project.
    assert before <= plain.query("select as_of from ml_monitoring_internal.int_as_of")[0][0]


def test_models_to_monitor_have_to_be_named(plain):
    plain.configure(lambda settings: settings.pop("vars"))
    done = plain.dbt("parse")
    assert done.returncode == 2
    assert "The var `monitored_models` is not set" in done.stdout
    assert "- name: churn" in done.stdout


def test_a_relation_may_be_a_source_or_a_plain_name(plain):
    (plain.folder / "models" / "sources.yml").write_text(
        "sources: [{name: serving, schema: raw, tables: [{name: outcomes}]}]"
    )
    plain.configure(
        lambda settings: settings["vars"].update(
            inference_events_relation="raw.predictions",
            labels_relation="source('serving', 'outcomes')",
        )
    )
    done = plain.dbt("compile", "--select", "stg_label_lines", "stg_inference_lines")
    nodes = plain.manifest["nodes"]
    parents = nodes["model.ml_monitoring.stg_label_lines"]["depends_on"]["nodes"]
    assert "source.shop.serving.outcomes" in parents, done.stdout
    # Neither is there: the message names the var of the first that is looked for.
    assert done.returncode != 0
    assert re.search(r"The var `(inference_events|labels)_relation` names", done.stdout)


def test_a_table_that_others_read_cannot_be_switched_off(plain):
    plain.configure(
        lambda settings: settings.update(
            models={"ml_monitoring": {"marts": {"fairness": {"+enabled": False}}}}
        )
    )
    done = plain.dbt("parse")
    assert done.returncode != 0
    assert re.search(r"depends on a node named 'fairness'.* which is disabled", done.stdout, re.S)


def test_the_profile_to_copy_is_complete():
    """The one that is documented, the one that is tested, and the one of this project."""
    text = (PROJECT / "docs" / "package.md").read_text()
    (block,) = re.findall(r"```yaml\n( +my_warehouse:.*?)```", text, flags=re.DOTALL)
    documented = yaml.safe_load(block)["my_warehouse"]["outputs"]["prod"]
    tested = yaml.safe_load((OTHER_PROJECT / "profiles.yml").read_text())
    tested = tested["shop_warehouse"]["outputs"]["local"]
    assert documented | {"path": ""} == tested | {"path": ""}
    own = yaml.safe_load((PROJECT / "profiles" / "profiles.yml").read_text())
    own = own["ml_monitoring"]["outputs"]["duckdb"]
    assert documented["settings"] == own["settings"]
    modules = [[plugin["module"] for plugin in profile["plugins"]] for profile in (documented, own)]
    assert modules[0] == modules[1]
