"""Another project has this one as a package: it builds, and each keeps what is its own."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
import yaml

from tests.integration.warehouse import MODEL, PROJECT, event

OTHER_PROJECT = Path(__file__).parent / "other_project"
REQUESTS = range(21 * 96)
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
    assert not re.search(r" (ERROR|SKIP)=[1-9]", shop.build.stdout), shop.build.stdout[-3000:]
