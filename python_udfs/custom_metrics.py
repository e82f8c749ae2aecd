"""Metrics that users define: any aggregate in SQL, over the rows of a window.

An expression is computed in a database of its own, in memory, that holds nothing but the rows: so
it can read no other table and no file. That database has one thread and gets the rows in one
order, so that a sum of doubles is the same in each run.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from arrow_tables import DAY_WINDOW_FIELDS
from sql_text import quoted

CUSTOM = pa.schema(
    [
        *DAY_WINDOW_FIELDS,
        pa.field("label_view", pa.string()),
        pa.field("metric", pa.string()),
        pa.field("definition", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("sample_count", pa.int64()),
        pa.field("problem", pa.string()),
        pa.field("revision", pa.uint64()),
    ]
)
STRUCTS = ("numerical_features", "categorical_features", "attributes")
#: Columns that an expression may read beside the structs; `label` where there are labels.
COLUMNS = (
    *("request_id", "ts", "model_version", "role", "status", "latency_ms", "inference_time_ms"),
    *("score", "prediction", "label"),
)
#: Columns that say where a row belongs.
PLACE = ("model_name", "model_version", "role", "event_date")
NUMBERS = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL.*|BOOLEAN)")
#: Types of nodes in DuckDB's syntax trees, and what is wrong with them here.
REFUSED_NODES = {
    "SUBQUERY": "It holds a subquery; it can read only the rows of its window.",
    "WINDOW": "It holds a window function (`over`); write an aggregate of all rows.",
    "STAR": "It holds `*` or columns(...); name the columns.",
    "PARAMETER": "It holds a parameter (`?` or `$1`); write the value.",
}
#: What DuckDB calls consistent though it draws at random or looks at the clock.
UNSTABLE = {
    *("reservoir_quantile", "age", "current_timestamp", "localtimestamp", "current_time"),
    *("localtime", "current_localtime", "current_localtimestamp", "get_current_timestamp"),
}


def syntax_tree(expression: str) -> dict[str, Any]:
    """Parse the expression as DuckDB does: its answer, which has a key ``error``."""
    with duckdb.connect() as connection:
        text = f"select (\n{expression}\n) as value"
        (answer,) = connection.execute("select json_serialize_sql(?)", [text]).fetchone()
    return json.loads(answer)


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every node of a syntax tree."""
    if isinstance(tree, dict):
        yield tree
    if isinstance(tree, dict | list):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from nodes(part)


def without_quotes(expression: str) -> str:
    """Take out texts and quoted names."""
    return re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", "''", expression)


def expression_problem(expression: str, columns: dict[str, str]) -> str | None:
    """Say what keeps an expression from being an aggregate of some columns.

    Parameters
    ----------
    expression : str
        In DuckDB's SQL.
    columns : dict of str to str
        The SQL type of each column that it may use.

    Returns
    -------
    str or None
        Cause and cure in words; None where nothing is wrong.
    """
    for token, name in ((";", "a semicolon"), ("--", "a comment"), ("/*", "a comment")):
        if token in expression:
            return f"It holds {name} (`{token}`). Write one expression without it."
    depth = 0
    for character in without_quotes(expression):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            break
    if depth:
        return "Its parentheses do not match. Close each one that is opened."

    tree = syntax_tree(expression)
    if tree["error"]:
        return f"It is no SQL expression: {tree['error_message']}."
    # Were it more than one expression, it would be a list here, or a clause beside it.
    (statement,) = tree["statements"]
    select = statement["node"]
    if len(select["select_list"]) != 1 or select["from_table"]["type"] != "EMPTY":
        return "It is more than one expression. Write one aggregate."
    for node in nodes(select["select_list"]):
        if node.get("class") in REFUSED_NODES:
            return REFUSED_NODES[node["class"]]

    with database() as connection:
        unstable = {
            name
            for (name,) in connection.execute(
                "select function_name from duckdb_functions() where stability <> 'CONSISTENT'"
            ).fetchall()
        } | UNSTABLE
        named = {
            name.lower()
            for node in nodes(select["select_list"])
            for name in [node.get("function_name") or "", *(node.get("column_names") or [])[:1]]
        }
        if named & (unstable - set(columns)):
            return (
                f"It calls `{min(named & unstable)}`, which gives something else in each run. The"
                " same rows must give the same value: use `ts` for times."
            )
        nulls = ", ".join(f'null::{kind} as "{name}"' for name, kind in columns.items())
        try:
            result = connection.execute(
                f"select (\n{expression}\n) as value from (select {nulls} where false)"
            )
            kind = str(result.description[0][1])
            rows = result.fetchall()
        except duckdb.Error as error:
            return (
                f"DuckDB cannot use it: {error_text(error)}\n"
                f"It may use the columns {', '.join(columns)}; docs/custom_metrics.md"
            )
    # Of no rows an aggregate still has one value, and anything else none.
    if len(rows) != 1:
        return "It is no aggregate. Wrap it in one, such as avg(...), sum(...) or count(*)."
    if not NUMBERS.fullmatch(kind):
        return f"It gives {kind}, which is no number. Cast it, or count something."
    return None


def error_text(error: duckdb.Error) -> str:
    """Say what DuckDB says, without the place in a statement that the user did not write."""
    return str(error).split("\n\nLINE ")[0].strip()


def database() -> duckdb.DuckDBPyConnection:
    """Open an empty database that can reach nothing else, with the project's functions."""
    # dbt-duckdb's plugins are there wherever dbt is; the functions themselves need none.
    from functions import register

    connection = duckdb.connect(config={"threads": 1, "enable_external_access": "false"})
    connection.execute("set TimeZone = 'UTC'")
    register(connection)
    connection.execute("set lock_configuration = true")
    return connection


@functools.cache
def columns_of(expression: str) -> dict[str, list[str]]:
    """Columns that an expression reads, and which fields of each struct; no fields: all of it."""
    used: dict[str, list[str]] = {}
    whole = set()
    for node in nodes(syntax_tree(expression)):
        if node.get("class") == "COLUMN_REF":
            name, *fields = node["column_names"]
            used.setdefault(name.lower(), []).extend(fields[:1])
            if not fields:
                whole.add(name.lower())
    return {name: [] if name in whole else fields for name, fields in used.items()}


def rows_query(definition: dict[str, Any], ends: dict[date, int], size: int) -> str:
    """Write the query over int_custom_events or int_custom_labels, called `rows`, for some windows.

    Parameters
    ----------
    definition : dict
        A row of int_custom_definitions.
    ends : dict of date to int
        The revision of each window_end.
    size : int
        The length of the windows in days.
    """
    over_labels = definition["rows_over"] == "labels"
    selected = [*PLACE, *(("known_on", "replaced_on") if over_labels else ())]
    for name, fields in columns_of(definition["sql_expression"]).items():
        fields = list(dict.fromkeys(field.lower() for field in fields))
        if name in STRUCTS and fields:
            parts = [f"{quoted(field)} := {name}.{quoted(field)}" for field in fields]
            selected.append(f"struct_pack({', '.join(parts)}) as {name}")
        elif name in (*COLUMNS, *STRUCTS) and name not in PLACE:
            selected.append(name)
    days = sorted({end - timedelta(days=ahead) for end in ends for ahead in range(1, size + 1)})
    literals = [f"date '{day}'" for day in days]
    # As is_one_of() in macros/incremental: many become a range.
    dates = f"in ({', '.join(literals)})"
    if len(days) > 100:
        dates = f"between {literals[0]} and {literals[-1]}"
    order = ["event_date", "ts", "request_id", "model_name", "model_version", "role"]
    order += ["known_on", "replaced_on"] if over_labels else []
    return f"""
        select
            {", ".join(selected)},
            list_filter(
                slices, lambda slice: list_contains({texts(definition["slices"])}, slice.slice_key)
            ) as slices
        from rows
        where event_date {dates} and list_contains({texts(definition["models"])}, model_name)
        order by {", ".join(order)}
    """


def texts(values: list[str]) -> str:
    """Write a list of texts in SQL."""
    return "[" + ", ".join("'" + value.replace("'", "''") + "'" for value in values) + "]"


class Sandbox:
    """Computes expressions in a database that holds nothing but their rows."""

    def __init__(self) -> None:
        self._connection = database()

    def values(
        self,
        rows: Callable[[], pa.RecordBatchReader],
        definition: dict[str, Any],
        ends: dict[date, int],
        size: int,
    ) -> pa.Table:
        """Values of one metric in some windows of one length.

        An expression that fails on the rows of a window has no value there, for the model_version
        and role that the rows are of; the other windows have theirs.

        Parameters
        ----------
        rows : callable
            Reads what ``rows_query`` gives, from the start each time.
        definition, ends, size
            As there.

        Returns
        -------
        Table
            With the schema ``CUSTOM``; value is null where the expression gives no finite number,
            and ``problem`` says why where it fails.
        """
        first, last = min(ends), max(ends)
        wanted = [first + timedelta(days=day) in ends for day in range((last - first).days + 1)]
        given = {"size": size, "start": first, "first": first, "last": last, "wanted": wanted}
        self._connection.register("given_rows", rows())
        try:
            parts = [self._compute(definition, given)]
        except FAILURES:
            self._connection.unregister("given_rows")
            self._connection.register("read_rows", rows())
            self._connection.execute("create temp table given_rows as from read_rows")
            parts = self._compute_apart(definition, given)
            self._connection.execute("drop table given_rows")
            self._connection.unregister("read_rows")
        else:
            self._connection.unregister("given_rows")
        return as_custom_table(pa.concat_tables(parts), definition, ends, size)

    def _compute_apart(self, definition: dict[str, Any], given: dict[str, Any]) -> list[pa.Table]:
        """Find by halves on which windows it fails; one of these is a unit of its own."""
        units = self._connection.execute(
            f"""
            select distinct window_end, {UNIT} from ({CLOSED_ROWS}) order by all
            """,
            given,
        ).fetchall()
        parts = []
        halves = [units]
        while halves:
            part = halves.pop()
            try:
                parts.append(self._compute(definition, given, part))
            except FAILURES as error:
                middle = len(part) // 2
                if middle:
                    halves += [part[:middle], part[middle:]]
                else:
                    parts.append(self._compute(definition, given, part, without_values(error)))
        return parts

    def _compute(
        self,
        definition: dict[str, Any],
        given: dict[str, Any],
        units: list[tuple[date, str]] | None = None,
        problem: str | None = None,
    ) -> pa.Table:
        """Compute the values of all windows, or of units that follow on each other.

        With a ``problem`` the expression is left out.
        """
        is_labelled = definition["rows_over"] == "labels"
        is_in_units = "true"
        if units:
            given = given | {
                **{"first": units[0][0], "last": units[-1][0]},
                **{"lowest": units[0][1], "highest": units[-1][1]},
            }
            is_in_units = f"{UNIT} between $lowest and $highest"
        expression = "null" if problem else definition["sql_expression"]
        return self._connection.sql(
            f"""
            with
            closed as (
                select * from ({CLOSED_ROWS})
                where {is_in_units}
            ),
            -- In the order of the rows: no join here, nor anything else that mixes them.
            viewed as (
                select *, unnest({LABEL_VIEWS if is_labelled else "[null::varchar]"}) as label_view
                from closed
            ),
            -- DuckDB may compute an expression before it filters rows: not where one has failed.
            sliced as {"materialized" if units else ""} (
                select *, unnest(slices) as slice
                from viewed
                {"where label_view is not null" if is_labelled else ""}
            )
            select
                model_name, model_version, role, slice.slice_key as slice_key,
                slice.slice_value as slice_value, window_end, label_view,
                count(*) as sample_count,
                $problem::varchar as problem,
                (
            {expression}
                )::double as value
            from sliced
            group by
                model_name, model_version, role, slice.slice_key, slice.slice_value,
                window_end, label_view
            """,
            params=given | {"problem": problem},
        ).to_arrow_table()


#: Begins with the window_end, so that units that follow on each other are of few days.
UNIT = "to_json([window_end::varchar, model_name, model_version, role])::varchar"
LABEL_VIEWS = """[
    case when replaced_on is null then 'latest' end,
    case
        when window_end >= known_on and (replaced_on is null or window_end < replaced_on)
            then 'as_known'
    end
]"""
#: What an expression can do wrong; want of memory and the like is not among it.
FAILURES = (duckdb.DataError, duckdb.InvalidInputException)


# Each row once for each wanted window that it is in; `wanted` is by days from `start` on.
CLOSED_ROWS = """
    select *, event_date + days_ahead as window_end
    from (
        select *, unnest(generate_series(1, $size))::integer as days_ahead
        from given_rows
        where event_date between $first::date - $size::integer and $last::date - 1
    )
    where
        event_date + days_ahead between $first and $last
        and list_extract(
            $wanted::boolean[], greatest(event_date + days_ahead - $start::date, 0) + 1
        )
"""


def without_values(error: duckdb.Error) -> str:
    """Say what DuckDB says of rows, without what it quotes of them."""
    text = re.sub(r"'.*'|\".*\"", "'...'", error_text(error).split("\n")[0])
    return re.sub(r"(?<![\w.])[-+]?\d[\w.+-]*", "...", text)


def as_custom_table(
    found: pa.Table, definition: dict[str, Any], ends: dict[date, int], size: int
) -> pa.Table:
    """Bring values to the schema ``CUSTOM``."""
    window_end = found["window_end"].to_pylist()
    value = found["value"].to_numpy()
    columns = {name: found[name].combine_chunks() for name in found.column_names} | {
        "window_size": pa.array([f"{size}d"] * len(found), pa.string()),
        "window_start": pa.array([end - timedelta(days=size) for end in window_end], pa.date32()),
        "metric": pa.array([definition["metric"]] * len(found), pa.string()),
        "definition": pa.array([definition["definition"]] * len(found), pa.string()),
        "value": pa.array(value, pa.float64(), mask=~np.isfinite(value)),
        "revision": pa.array([ends[end] for end in window_end], pa.uint64()),
    }
    return pa.table([columns[field.name].cast(field.type) for field in CUSTOM], schema=CUSTOM)


def stale_custom_windows(
    dbt: Any,
    session: Any,
    wanted: Any,  # noqa: ARG001
) -> dict[tuple[str, int], dict[date, int]]:
    """Windows that the model lacks, or that its pre-hook has deleted: by metric and days.

    Parameters
    ----------
    dbt, session
        What dbt gives to a Python model.
    wanted : relation
        int_custom_windows.

    Returns
    -------
    dict
        The revision of each window_end.
    """
    held = str(dbt.this) if dbt.is_incremental else "wanted where false"
    stale: dict[tuple[str, int], dict[date, int]] = {}
    # DuckDB finds `wanted` here by the name of the variable.
    for metric, days, end, revision in session.sql(f"""
        select metric, days, window_end, revision from wanted
        where (metric, window_size, window_end)
            not in (select (metric, window_size, window_end) from {held})
        order by all
    """).fetchall():
        stale.setdefault((metric, days), {})[end] = revision
    return stale
