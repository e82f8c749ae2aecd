"""Rules judged on the metrics of a built database, in a database of their own.

dbt builds the models that depend on rules alone; for all that is upstream of them it reads the
built database (``dbt run --defer``), which is attached read only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import yaml

import database_lock
from backtest import Alert
from backtesting import BacktestError
from backtesting.files import seed_columns

#: What rules and targets make. The rolling windows depend on them too, but are metrics.
MODELS = [
    "stg_alert_rules",
    "stg_slo_targets",
    "int_alert_conditions",
    "int_alert_evaluations",
    "int_alert_lines",
    "int_alert_absences",
    "int_alert_groups",
    "alert_evaluations",
    "alert_lines",
    "alerts",
]
#: Where the rules to judge are in the scratch database.
GIVEN = "given"
KINDS = ("alert_rules", "slo_targets")
MINUTES = {"m": 1, "h": 60, "d": 1440}


@dataclass(frozen=True)
class Scratch:
    """A project, the database that it has built, and one beside it for experiments.

    Attributes
    ----------
    project : Path
        The folder of ``dbt_project.yml``.
    built : Path
        The database whose metrics are judged.
    folder : Path
        For all that a backtest writes.
    given_vars : dict
        As on the command line of dbt.
    """

    project: Path
    built: Path
    folder: Path
    given_vars: dict[str, Any]

    @property
    def database(self) -> Path:
        """Holds the alerts of the last backtest, for queries."""
        return self.folder / f"{self.built.stem}_backtest.duckdb"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The vars of the project, and over them those that are given."""
        project = yaml.safe_load((self.project / "dbt_project.yml").read_text("utf-8")) or {}
        found = project.get("vars") or {}
        return found | (found.get("ml_monitoring") or {}) | self.given_vars

    @cached_property
    def profile_name(self) -> str:
        """The name of its profile, as dbt_project.yml has it."""
        return yaml.safe_load((self.project / "dbt_project.yml").read_text("utf-8"))["profile"]

    def seed(self, kind: str) -> Path | None:
        """Return the file of a seed; None where the project has a relation in its place."""
        if self.settings.get(f"{kind}_relation"):
            return None
        return self.project / "seeds" / f"{kind}.csv"

    def lock(self, wait_seconds: float) -> None:
        """Keep builds waiting that would otherwise fail to open the database."""
        if not self.built.is_file():
            raise BacktestError(
                f"there is no database {self.built}: build it first (make demo, or make build), or"
                " name it with ML_MONITORING_PATH"
            )
        try:
            database_lock.acquire(
                self.built, wait_seconds, lambda text: print(text, file=sys.stderr)
            )
        except database_lock.DatabaseIsLockedError as error:
            raise BacktestError(str(error)) from None

    def prepare(self) -> None:
        """Write the profile, and what dbt must know of the built database: its state."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_profile()
        state, vars_of_state = self._manifest("state"), self.folder / "state" / "vars.json"
        text = json.dumps(self.given_vars, sort_keys=True)
        changed_at = max(
            path.stat().st_mtime for path in (self.built, self.project / "dbt_project.yml")
        )
        if (
            state.is_file()
            and vars_of_state.is_file()
            and vars_of_state.read_text("utf-8") == text
            and state.stat().st_mtime > changed_at
        ):
            return
        self._dbt("parse")
        # The same project, in the other database.
        manifest = json.loads(self._manifest("target").read_text("utf-8"))
        ours, theirs = (f'"{path.stem}".' for path in (self.database, self.built))
        for node in manifest["nodes"].values():
            if node.get("database") == self.database.stem:
                node["database"] = self.built.stem
                if node.get("relation_name"):
                    node["relation_name"] = node["relation_name"].replace(ours, theirs, 1)
        state.parent.mkdir(exist_ok=True)
        state.write_text(json.dumps(manifest), "utf-8")
        vars_of_state.write_text(text, "utf-8")

    def history(self) -> tuple[datetime, datetime]:
        """Return from when to when the built database knows of requests."""
        built = self._relations("state")
        with self._connect() as connection:
            try:
                (as_of,) = connection.execute(f"select as_of from {built['int_as_of']}").fetchone()
                (first,) = connection.execute(
                    f"select min(span_start) from {built['int_service_spans']}"
                ).fetchone()
                connection.execute(f"from {built['int_metric_values']} limit 0")
            except (duckdb.Error, TypeError) as error:
                raise BacktestError(
                    f"{self.built} is not built, or by another version of the project:"
                    f" make build, then backtest again\n  {error}"
                ) from None
        if first is None:
            raise BacktestError(f"{self.built} holds no request, so there is nothing to judge")
        return first, as_of

    def fill(self, rules: dict[str, list[dict[str, str]] | None]) -> None:
        """Begin a scratch database with rows of rules and targets.

        Parameters
        ----------
        rules : dict
            ``alert_rules`` and ``slo_targets``: rows, or None for the relation that the project
            has in place of the seed.
        """
        for suffix in ("", ".wal"):
            self.database.with_name(self.database.name + suffix).unlink(missing_ok=True)
        with self._connect() as connection:
            connection.execute(f"create schema {GIVEN}")
            for kind, rows in rules.items():
                if rows is None:
                    self._copy_relation(connection, kind)
                    continue
                names = seed_columns(kind)
                columns = ", ".join(f'"{name}" varchar' for name in names)
                connection.execute(f"create table {GIVEN}.{kind} ({columns})")
                if rows:
                    connection.executemany(
                        f"insert into {GIVEN}.{kind} values ({', '.join('?' * len(names))})",
                        [[row.get(name, "") for name in names] for row in rows],
                    )

    def run(self) -> None:
        """Judge: build what rules make. Raises for rules with problems, which judge nothing."""
        self._dbt(
            *("run", "--select", *MODELS),
            *("--defer", "--favor-state", "--state", str(self.folder / "state")),
        )
        of = self._relations("target")
        with self._connect() as connection:
            problems = connection.execute(f"""
                select distinct alert_name, problem from {of["stg_alert_rules"]}
                where problem is not null
                union
                select distinct slo_name, problem from {of["stg_slo_targets"]}
                where problem is not null
                order by all
            """).fetchall()
        if problems:
            raise BacktestError(
                "rules with problems cannot be judged:"
                + "".join(f"\n  {name}: {problem}" for name, problem in problems)
            )

    def severities(self) -> dict[str, str]:
        """Return the severity of each alert by its name, those that never fired among them."""
        with self._connect() as connection:
            return dict(
                connection.execute(f"""
                    select alert_name, any_value(severity)
                    from {self._relations("target")["int_alert_conditions"]}
                    group by alert_name
                """).fetchall()
            )

    def alerts(self) -> list[Alert]:
        """Return all alerts that have fired."""
        of = self._relations("target")
        with self._connect() as connection:
            looks_back: dict[tuple[str, str], timedelta] = {}
            for name, model, window_size, grace_hours in connection.execute(f"""
                select distinct alert_name, model_name, window_size, grace_hours
                from {of["int_alert_conditions"]}
            """).fetchall():
                window = timedelta(minutes=int(window_size[:-1]) * MINUTES[window_size[-1]])
                looks_back[name, model] = max(
                    looks_back.get((name, model), timedelta(0)),
                    window + timedelta(hours=grace_hours),
                )
            return [
                Alert(name, model, fired_at, resolved_at, looks_back[name, model])
                for name, model, fired_at, resolved_at in connection.execute(f"""
                    select alert_name, model_name, fired_at, resolved_at
                    from {of["alerts"]}
                    where fired_at is not null
                    order by all
                """).fetchall()
            ]

    def unjudged(self) -> list[str]:
        """Say which conditions had no window that could be judged, and why."""
        of = self._relations("target")
        with self._connect() as connection:
            rows = connection.execute(f"""
                select
                    conditions.alert_name, conditions.metric, conditions.window_size,
                    conditions.slice_key, conditions.model_name,
                    count(windows.alert_name), mode(windows.data_status)
                from {of["int_alert_conditions"]} as conditions
                left join {of["int_alert_evaluations"]} as windows
                    using (alert_name, model_name, condition_number, metric, slice_key, window_size)
                group by all
                having count(windows.is_breached) = 0
                order by all
            """).fetchall()
        return [
            f"{name}: no {metric} over {window} of {model}"
            + ("" if slice_key == "all" else f" by {slice_key}")
            + (
                f" could be judged; most of its {count} windows are {status}"
                if count
                else " is in the database. If the window is new, build once with the rule in"
                " place (make build), then backtest again"
            )
            for name, metric, window, slice_key, model, count, status in rows
        ]

    def public_tables(self) -> set[str]:
        """Return the names of the project's public tables."""
        manifest = json.loads(self._manifest("state").read_text("utf-8"))
        return {
            node["name"] for node in manifest["nodes"].values() if node.get("access") == "public"
        }

    def _manifest(self, of: str) -> Path:
        return self.folder / of / "manifest.json"

    def _relations(self, of: str) -> dict[str, str]:
        """Return what models are called in the built database (state) or the scratch (target)."""
        manifest = json.loads(self._manifest(of).read_text("utf-8"))
        return {
            node["name"]: node["relation_name"]
            for node in manifest["nodes"].values()
            if node["package_name"] == "ml_monitoring" and node.get("relation_name")
        }

    def _connect(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(str(self.database))
        try:
            path = str(self.built).replace("'", "''")
            connection.execute(f"attach '{path}' (read_only)")
        except duckdb.IOException as error:
            connection.close()
            raise BacktestError(
                f"{self.built} cannot be read: is another program writing to it?\n  {error}"
            ) from None
        return connection

    def _copy_relation(self, connection: duckdb.DuckDBPyConnection, kind: str) -> None:
        relation = self.settings[f"{kind}_relation"]
        catalog = self.built.stem.replace('"', '""')
        name = relation if relation.count(".") == 2 else f'"{catalog}".{relation}'
        try:
            connection.execute(f"create table {GIVEN}.{kind} as from {name}")
        except duckdb.Error as error:
            raise BacktestError(
                f"{relation}, which is the project's {kind}_relation, cannot be read from"
                f" {self.built}; write it to a CSV file and name that\n  {error}"
            ) from None

    def _write_profile(self) -> None:
        """Write the project's profile for the scratch database, the built one attached."""
        folders = [
            *filter(None, [os.environ.get("DBT_PROFILES_DIR")]), self.project, Path.home() / ".dbt"
        ]  # fmt: skip
        paths = [path for folder in folders if (path := Path(folder) / "profiles.yml").is_file()]
        if not paths:
            raise BacktestError(f"there is no profiles.yml in {', '.join(map(str, folders))}")
        try:
            # Variables of the environment stay as they are written: dbt reads them.
            profile = yaml.safe_load(paths[0].read_text("utf-8"))[self.profile_name]
            output = profile["outputs"][profile["target"]]
            is_duckdb = output["type"] == "duckdb"
        except (KeyError, TypeError, yaml.YAMLError):
            raise BacktestError(
                f"{paths[0]} has no profile {self.profile_name} with a target that is spelled out"
            ) from None
        if not is_duckdb:
            raise BacktestError(f"a backtest needs DuckDB; {paths[0]} is for {output['type']}")
        attached = {"path": str(self.built), "read_only": True}
        output |= {"path": str(self.database), "attach": [*(output.get("attach") or []), attached]}
        text = yaml.safe_dump({self.profile_name: profile})
        path = self.folder / "profiles.yml"
        # dbt would parse the project anew.
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")

    def _dbt(self, command: str, *arguments: str) -> None:
        """Run dbt, always with the same vars: else it would parse the project anew."""
        relations = {f"{kind}_relation": f"{GIVEN}.{kind}" for kind in KINDS}
        done = subprocess.run(
            [
                Path(sys.executable).with_name("dbt"),
                *("--quiet", "--no-use-colors", command, *arguments),
                *("--profiles-dir", self.folder),
                *("--target-path", self.folder / "target"),
                *("--log-path", self.folder / "logs"),
                *("--vars", json.dumps(self.given_vars | relations | {"publish": False})),
            ],
            cwd=self.project,
            env=os.environ | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BacktestError(
                f"dbt {command} failed (all of it: {self.folder / 'logs' / 'dbt.log'})\n"
                + (done.stdout + done.stderr).strip()
            )
