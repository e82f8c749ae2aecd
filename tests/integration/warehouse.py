"""A warehouse of its own for a test: write landing files, build, query."""

import gzip
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from tests.integration.dbt_process import Build, DbtProcess
from tests.integration.parsed import lend_parsed

PROJECT = Path(__file__).parents[2]

MODEL = {
    "name": "churn",
    "task": "binary_classification",
    "latency_threshold_ms": 20,
    "baseline": {"start": "2024-01-01", "end": "2024-01-08"},
    "features": [
        {"name": "age", "type": "numerical"},
        {"name": "plan", "type": "categorical"},
        {"name": "is_new", "type": "boolean"},
    ],
    "slices": ["plan", "country"],
}


TARGET = {
    "slo_name": "errors",
    "model_name": "churn",
    "role": "live",
    "metric": "error_rate",
    "slice_key": "all",
    "feature": "",
    "window_size": "1h",
    "comparator": "<=",
    "objective": "0.01",
    "budget_objective": "0.99",
    "min_requests": "1",
    "max_age_hours": "3",
    "on_missing": "ignore",
    "severity": "page",
    "runbook": "docs/runbooks/error_rate.md",
    "comment": "",
}
RULE = {
    "alert_name": "errors",
    "model_name": "churn",
    "role": "live",
    "condition_number": "",
    "metric": "error_rate",
    "slice_key": "",
    "feature": "",
    "comparison": "",
    "window_size": "1h",
    "comparator": ">",
    "threshold": "0.01",
    "compare_to": "",
    "min_requests": "1",
    "breach_windows": "",
    "evaluation_windows": "",
    "resolve_windows": "",
    "max_age_hours": "",
    "on_missing": "",
    "severity": "page",
    "runbook": "docs/runbooks/error_rate.md",
    "owner": "",
    "is_enabled": "",
    "triggers_retraining": "",
    "comment": "",
}
MARGIN = {
    "model_name": "churn",
    "criterion": "roc_auc",
    "slice_key": "",
    "margin": "0.01",
    "comment": "",
}
DEPLOYMENT = {"model": "churn", "version": "v1", "role": "live", "from": "2024-01-01", "to": ""}


@dataclass
class Warehouse:
    """A database and a landing folder below one temporary folder."""

    folder: Path
    vars: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.landing.mkdir(parents=True, exist_ok=True)
        # The seeds are the demo's: other models bring targets and deployments of their own.
        self.vars = {
            "landing_path": str(self.landing),
            "monitored_models": [MODEL],
            "as_of": "2024-02-01",
            "slo_targets_relation": "own.slo_targets",
            "alert_rules_relation": "own.alert_rules",
            "deployments_relation": "own.deployments",
            "launch_margins_relation": "own.launch_margins",
            "publish": False,
        } | self.vars
        self.execute("create schema if not exists own")
        self.own("slo_targets", TARGET, [])
        self.own("alert_rules", RULE, [])
        self.own("deployments", DEPLOYMENT, [])
        self.own("launch_margins", MARGIN, [])

    @property
    def landing(self) -> Path:
        return self.folder / "landing"

    @property
    def database(self) -> Path:
        return self.folder / "warehouse.duckdb"

    @property
    def published(self) -> Path:
        return self.folder / "warehouse_published.duckdb"

    def write(self, path: str, records: list[Any]) -> Path:
        """Write records, or lines that are text already, to a .jsonl or .jsonl.gz file."""
        target = self.landing / path
        target.parent.mkdir(parents=True, exist_ok=True)
        lines = [line if isinstance(line, str) else json.dumps(line) for line in records]
        content = "".join(f"{line}\n" for line in lines).encode(errors="surrogatepass")
        target.write_bytes(gzip.compress(content) if target.suffix == ".gz" else content)
        return target

    def dbt(self, *arguments: str, **more_vars: Any) -> Build:
        """Run dbt in the project against this warehouse."""
        return self.start_dbt(*arguments, more_vars=more_vars).finish()

    def start_dbt(
        self, *arguments: str, more_vars: dict[str, Any] | None = None, **environment: str
    ) -> DbtProcess:
        """Start dbt, and leave it running."""
        given = self.vars | (more_vars or {})
        # By the environment where it is all that changes, so that dbt need not parse all anew.
        if given["as_of"] and "as_of" not in (more_vars or {}):
            environment = {"ML_MONITORING_AS_OF": str(given.pop("as_of"))} | environment
        lend_parsed(self.folder / "target", given)
        return DbtProcess(
            [
                "--no-use-colors",
                *arguments,
                "--target-path",
                str(self.folder / "target"),
                "--log-path",
                str(self.folder / "logs"),
                "--vars",
                json.dumps(given),
            ],
            PROJECT,
            os.environ | {"ML_MONITORING_PATH": str(self.database)} | environment,
        )

    def build(self, *arguments: str, **more_vars: Any) -> Build:
        """Run dbt build without the unit tests, which one test runs for all."""
        return self.dbt("build", "--exclude-resource-type", "unit_test", *arguments, **more_vars)

    def own(self, name: str, form: dict[str, str], changes: list[dict[str, str]]) -> None:
        """Make a relation own.<name> of text columns: a row of ``form`` for each change to it."""
        columns = ", ".join(f'"{column}" text' for column in form)
        self.execute(f"create or replace table own.{name} ({columns})")
        for change in changes:
            marks = ", ".join("?" * len(form))
            self.execute(f"insert into own.{name} values ({marks})", *(form | change).values())

    def execute(self, sql: str, *parameters: Any) -> None:
        """Write to the warehouse, as its owner would."""
        with duckdb.connect(str(self.database)) as connection:
            connection.execute(sql, parameters or None)

    def query(self, sql: str, *parameters: Any) -> list[tuple]:
        """Read from the warehouse."""
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(sql, parameters or None).fetchall()

    def frame_arrow(self, sql: str):
        """Read from the warehouse as an Arrow table, which keeps all types."""
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.sql(sql).to_arrow_table()

    def copy_in(self, name: str, rows: Any) -> None:
        """Make a table of an Arrow table."""
        with duckdb.connect(str(self.database)) as connection:
            connection.register("rows_to_copy", rows)
            connection.execute(f"create table {name} as from rows_to_copy")

    def frame(self, sql: str):
        """Read from the warehouse as a data frame."""
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(sql).df()


def event(request_id: str = "r1", **fields: Any) -> dict[str, Any]:
    """Make a valid inference event; a field given as ``...`` is left out."""
    record = {
        "request_id": request_id,
        "ts": "2024-01-10T12:00:00Z",
        "model": "churn",
        "model_version": "v1",
        "status": 200,
        "latency_ms": 20.5,
        "score": 0.25,
        "features": {"age": 30, "plan": "basic", "is_new": True},
        "attributes": {"country": "de"},
    } | fields
    return {name: value for name, value in record.items() if value is not ...}


def label(request_id: str = "r1", **fields: Any) -> dict[str, Any]:
    """Make a valid label."""
    return {"request_id": request_id, "label": 1, "labeled_at": "2024-01-11T12:00:00Z"} | fields
