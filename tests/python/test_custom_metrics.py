"""Custom metrics: which expressions are accepted, what they compute, and what they cannot reach."""

import random
from datetime import date, timedelta

import duckdb
import pyarrow as pa
import pytest

from custom_metrics import (
    CUSTOM,
    Sandbox,
    columns_of,
    database,
    expression_problem,
    rows_query,
    without_values,
)

COLUMNS = {
    "request_id": "varchar",
    "ts": "timestamp",
    "score": "double",
    "prediction": "varchar",
    "attributes": 'struct("a b" varchar, fee varchar)',
    "label": "double",
}
RIGHT = [
    "avg(score)",
    "count(*) filter (where score > 0.5) / count(*)",
    "sum(case when prediction = 1 and label = 0 then 5 else 0 end) / count(label)",
    'sum(try_cast(attributes."a b" as double))',
    "quantile_cont(score, 0.9) - median(score)",
    "bool_or(score > 0.5)",
    "sum(score)::decimal(10, 2)",
    "max(case when prediction = '(' then 1 end)",
    "list_sum(list_transform(list(score), lambda x: x + 1))",
    "roc_auc([1, 2], [3, 4]) + avg(score)",
    "max(epoch(ts))",
]
WRONG = [
    ("avg(", "parentheses"),
    ("avg)score(", "parentheses"),
    ("avg score", "no SQL expression"),
    ("score", "no aggregate"),
    ("1", "no aggregate"),
    ("avg(scoer)", 'Referenced column "scoer" not found'),
    ("avg(attributes.fees::double)", 'Could not find key "fees"'),
    ("avg(score), sum(score)", "no number"),
    ("avg(score) from somewhere", "no SQL expression"),
    ("avg(score) as mean", "no SQL expression"),
    ("max(request_id)", "It gives VARCHAR, which is no number"),
    ("list(score)", "It gives DOUBLE[], which is no number"),
    ("max(ts)", "It gives TIMESTAMP, which is no number"),
    ("max((select 1))", "subquery"),
    ("max((from read_text('/etc/hostname')))", "subquery"),
    ("max(score) over ()", "window function"),
    ("sum(columns(*))", "name the columns"),
    ("sum($1)", "parameter"),
    ("sum(score", "parentheses"),
    ("sum(score) ) + ( sum(score)", "parentheses"),
    ("sum(score); select 1", "semicolon"),
    ("sum(score) -- all", "comment"),
    ("sum(score) /* all", "comment"),
    ("avg(random())", "`random`, which gives something else in each run"),
    ("max(epoch(now()))", "`now`"),
    ("max(epoch(current_timestamp))", "`current_timestamp`"),
    ("max(epoch(age(ts)))", "`age`"),
    ("count(*) filter (where ts < current_date)", "`current_date`"),
    ("reservoir_quantile(score, 0.5)", "`reservoir_quantile`"),
    ("max(current_setting('threads')::int)", "`current_setting`"),
]


@pytest.mark.parametrize("expression", RIGHT)
def test_right_expressions_are_accepted(expression):
    assert expression_problem(expression, COLUMNS) is None


@pytest.mark.parametrize(("expression", "problem"), WRONG)
def test_wrong_expressions_are_refused_with_the_reason(expression, problem):
    found = expression_problem(expression, COLUMNS)
    assert found and problem in found, found


def test_nothing_outside_can_be_reached(tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with duckdb.connect(str(tmp_path / "other.duckdb")) as other:
        other.execute("create table secrets as select 1 as a")
    with database() as connection:
        for statement in (
            f"from '{secret}'",
            f"from read_text('{secret}')",
            f"attach '{tmp_path}/other.duckdb'",
            f"copy (select 1) to '{tmp_path}/out.csv'",
            "load httpfs",
            "set enable_external_access = true",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)
        assert connection.execute("show databases").fetchall() == [("memory",)]
        assert connection.execute("show all tables").fetchall() == []
    assert not (tmp_path / "out.csv").exists()


def test_columns_that_an_expression_reads():
    assert columns_of('sum(Score) + max(attributes."a b") + max(attributes.Fee)') == {
        "score": [],
        "attributes": ["a b", "Fee"],
    }
    # By brackets: any of them.
    assert columns_of("max(attributes['fee']) + max(attributes.fee)") == {"attributes": []}
    assert columns_of("count(*)") == {}


def test_what_is_said_of_a_failure_holds_no_values():
    error = duckdb.ConversionException(
        "Conversion Error: Could not convert string 'it's secret' to INT32\n\nLINE 3: ..."
    )
    assert without_values(error) == "Conversion Error: Could not convert string '...' to INT32"
    error = duckdb.OutOfRangeException(
        'Out of Range Error: Overflow of -1.5e308 * 71 in "x" of BIT'
    )
    assert without_values(error) == "Out of Range Error: Overflow of ... * ... in '...' of BIT"


FIRST = date(2024, 1, 1)
SLICES = [{"slice_key": "all", "slice_value": "all"}]
NAMES = ["model_name", "model_version", "role", "event_date", "score", "fee", "slices"]


def definition(expression, rows_over="events"):
    return {
        "metric": "mine", "sql_expression": expression, "rows_over": rows_over, "definition": "d",
        "slices": ["all"], "models": ["churn"],
    }  # fmt: skip


def windows(days, size):
    """All windows of the days."""
    return {FIRST + timedelta(days=end): end for end in range(1, days + size)}


def values(rows, expression, ends, size, rows_over="events"):
    """By model_version, window_end and label_view: value, sample_count, whether it failed."""
    found = Sandbox().values(
        lambda: pa.Table.from_pylist(rows).to_reader(),
        definition(expression, rows_over),
        ends,
        size,
    )
    assert found.schema == CUSTOM
    return {
        (row["model_version"], row["window_end"], row["label_view"]): (
            row["value"], row["sample_count"], row["problem"] is not None,
        )
        for row in found.to_pylist()
    }  # fmt: skip


def row(day, number, **more):
    return {
        "model_name": "churn", "model_version": "v1", "role": "live",
        "event_date": FIRST + timedelta(days=day), "score": number / 7, "fee": str(number),
        "slices": SLICES,
    } | more  # fmt: skip


def test_windows_of_several_days():
    rows = [row(day, number) for day in (0, 1, 4) for number in range(10 + day)]
    ends = windows(5, 3)
    del ends[FIRST + timedelta(days=2)]
    found = values(rows, "count(*)", ends, 3)
    counts = {0: 10, 1: 11, 4: 14}
    for end in range(1, 8):
        moment = FIRST + timedelta(days=end)
        expected = sum(counts.get(day, 0) for day in range(end - 3, end))
        is_there = moment in ends and expected
        assert found.get(("v1", moment, None)) == (
            (expected, expected, False) if is_there else None
        )


def test_label_views():
    known, replaced = FIRST + timedelta(days=2), FIRST + timedelta(days=3)
    rows = [
        row(0, 1, label=1.0, known_on=known, replaced_on=replaced),
        row(0, 1, label=0.0, known_on=replaced, replaced_on=None),
    ]
    found = values(rows, "sum(label)", windows(1, 4), 4, "labels")
    days = [FIRST + timedelta(days=end) for end in range(5)]
    assert found == {
        **{("v1", day, "latest"): (0, 1, False) for day in days[1:]},
        ("v1", days[2], "as_known"): (1, 1, False),
        ("v1", days[3], "as_known"): (0, 1, False),
        ("v1", days[4], "as_known"): (0, 1, False),
    }


@pytest.mark.parametrize("value", ["'nan'::double", "'-infinity'::double", "null::double"])
def test_what_is_no_finite_number_is_null(value):
    found = values([row(0, 1)], f"max({value})", windows(1, 1), 1)
    assert found == {("v1", FIRST + timedelta(days=1), None): (None, 1, False)}


@pytest.mark.parametrize("seed", range(5))
def test_a_failure_costs_only_its_own_windows(seed):
    """The others have the very bits that they have where nothing fails."""
    rng = random.Random(seed)
    rows = [
        row(day, rng.random(), model_version=version, role=role)
        for day in range(12)
        for version, role in (("v1", "live"), ("v2", "shadow"), ("v'3", "live"))
        for _ in range(20)
    ]
    ends = windows(12, 3)
    whole = values(rows, "sum(fee::double)", ends, 3)
    bad = rng.sample(range(len(rows)), 3)
    broken = [r | {"fee": "free"} if number in bad else r for number, r in enumerate(rows)]
    lost = {
        (rows[number]["model_version"], rows[number]["event_date"] + timedelta(days=ahead), None)
        for number in bad
        for ahead in (1, 2, 3)
    }
    found = values(broken, "sum(fee::double)", ends, 3)
    assert found == {
        key: (None, count, True) if key in lost else (value, count, False)
        for key, (value, count, _) in whole.items()
    }


def test_values_do_not_depend_on_what_else_is_computed():
    rng = random.Random(8)
    rows = [
        row(day, rng.lognormvariate(0, 9), model_version=f"v{number % 40}")
        for day in range(30)
        for number in range(2_000)
    ]
    expression = "sum(score) / count(*) + stddev_samp(score) + quantile_cont(score, 0.3)"
    together = values(rows, expression, windows(30, 7), 7)
    for end in (7, 20):
        moment = FIRST + timedelta(days=end)
        near = [r for r in rows if moment - timedelta(days=7) <= r["event_date"] < moment]
        alone = values(near, expression, {moment: 1}, 7)
        assert alone == {key: value for key, value in together.items() if key[1] == moment}


def test_the_query_reads_no_more_than_it_needs():
    query = rows_query(definition("avg(attributes.fee::double)"), {date(2024, 1, 3): 1}, 2)
    assert "date '2024-01-01', date '2024-01-02'" in query
    assert 'struct_pack("fee" := attributes."fee") as attributes' in query
    assert "score" not in query
