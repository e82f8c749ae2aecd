"""The semantic layer by MetricFlow, against figures from the events that were written."""

import json
import math
import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from itertools import pairwise

import duckdb
import pytest
from metricflow.engine.metricflow_engine import MetricFlowEngine, MetricFlowQueryRequest
from metricflow.protocols.sql_client import SqlEngine
from metricflow.sql.render.duckdb_renderer import DuckDbSqlPlanRenderer
from metricflow_semantics.model.dbt_manifest_parser import (
    parse_manifest_from_dbt_generated_manifest,
)
from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup

from tests.integration.warehouse import MODEL, PROJECT, RULE, Warehouse, event, label

START = datetime(2024, 1, 1)
AS_OF = datetime(2024, 2, 1)
# A first build sees what there is by then; labels of its days come afterwards.
FIRST_AS_OF = datetime(2024, 1, 18)
GRACE = timedelta(hours=24)
BASELINE = {"start": "2024-01-01", "end": "2024-01-08"}
AGE = [{"name": "age", "type": "numerical"}]
MODELS = [
    MODEL | {"label_grace_hours": 24, "min_label_coverage": 0.0},
    {"name": "price", "task": "regression", "baseline": BASELINE, "features": AGE},
    {"name": "intent", "task": "multiclass_classification", "baseline": BASELINE, "features": AGE},
]
# (model, version, role): the days of January that it serves.
SERVES = {
    ("churn", "v1", "live"): range(1, 21),
    ("churn", "v2", "live"): range(15, 32),
    ("churn", "v3", "shadow"): range(20, 32),
    ("price", "v1", "live"): range(1, 32),
    ("intent", "v1", "live"): range(4, 32),
}
# Days on which most requests of churn v2 and v1 fail: an alert each.
BROKEN = {("v1", 9), ("v2", 25)}


# --- The case ------------------------------------------------------------------------------------


def written(rng):
    """Every event that counts, as a flat record with its labels, and the lines that do not."""
    events, faults = [], []
    for (model, version, role), days in SERVES.items():
        for day in days:
            # Uneven: a mean of daily rates is another number than the rate.
            for number in range(rng.choice([2, 5, 30]) + (day % 7 == 0) * 40):
                ts = START + timedelta(days=day - 1, seconds=rng.randrange(86400))
                fails = 0.8 if model == "churn" and (version, day) in BROKEN else 0.01 * (day % 9)
                status = 500 if rng.random() < fails else 200
                score = round(rng.random(), 3) if status == 200 and rng.random() < 0.95 else None
                row = {
                    "model": model,
                    "version": version,
                    "role": role,
                    "request_id": f"{model}-{version}-{day}-{number}",
                    "ts": ts,
                    "status": status,
                    "latency": rng.choice([None, 12.5, 19.75, 21.5, 80.25]),
                    "score": score,
                    "class": rng.choice("abc") if model == "intent" and score else None,
                    "plan": rng.choice(["basic", "pro", None]),
                    "country": rng.choice(["de", "fr"]),
                    "labels": [],
                }
                if rng.random() < 0.8:
                    at = ts + timedelta(hours=rng.choice([2, 20, 60, 200]))
                    row["labels"].append((at, truth(rng, model)))
                    if rng.random() < 0.2:
                        at += timedelta(hours=rng.choice([1, 90]))
                        row["labels"].append((at, truth(rng, model)))
                events.append(row)
                if rng.random() < 0.04:
                    faults.append((row, rng.choice(["duplicate", "rejected"])))
    return events, faults


def truth(rng, model):
    """Give a label."""
    return {"churn": rng.randint(0, 1), "price": rng.randint(-3, 9) / 4}.get(
        model, rng.choice("abc")
    )


def line(row):
    """Give the event as a service would log it."""
    features = {"age": 40} | ({"plan": row["plan"]} if row["plan"] else {})
    fields = {
        "ts": f"{row['ts'].isoformat()}Z",
        "model": row["model"],
        "model_version": row["version"],
        "role": row["role"],
        "status": row["status"],
        "latency_ms": row["latency"],
        "score": row["score"],
        "features": features,
        "attributes": {"country": row["country"]},
    }
    if row["class"]:
        fields["prediction"] = row["class"]
    return event(row["request_id"], **fields)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Build a warehouse in two steps, and keep what was written into it."""
    warehouse = Warehouse(tmp_path_factory.mktemp("semantic"))
    warehouse.vars |= {
        "monitored_models": MODELS,
        # No windows of a day, so that nothing can come from them.
        "performance_windows_days": [7],
        "drift_windows_days": [7],
        "multivariate_drift": False,
        "min_samples": 5,
        "min_samples_per_class": 2,
    }
    rule = {"alert_name": "broken", "window_size": "1d", "threshold": "0.5", "min_requests": "1"}
    warehouse.own("alert_rules", RULE, [rule])
    events, faults = written(random.Random(8))
    for name, first, as_of in (("a", START, FIRST_AS_OF), ("b", FIRST_AS_OF, AS_OF)):
        rows = [row for row in events if first <= row["ts"] < as_of]
        odd = [
            line(row) if fault == "duplicate" else line(row) | {"status": None}
            for row, fault in faults
            if first <= row["ts"] < as_of
        ]
        warehouse.write(f"inference_events/{name}.jsonl", [line(row) for row in rows] + odd)
        given = [
            label(row["request_id"], model=row["model"], label=value, labeled_at=f"{at}Z")
            for row in events
            for at, value in row["labels"]
            if first <= at < as_of
        ]
        for record in given:
            record["labeled_at"] = record["labeled_at"].replace(" ", "T")
        warehouse.write(f"labels/{name}.jsonl", given)
        # What the data tests say is looked at elsewhere.
        built = warehouse.build("--exclude-resource-type", "test", as_of=as_of.isoformat())
        assert built.exit_code == 0, built.end
    for row in events:
        row["labels"] = sorted((at, value) for at, value in row["labels"] if at < AS_OF)
    return warehouse, events, faults


class Client:
    """What MetricFlow asks of a database to write SQL for it."""

    sql_engine_type = SqlEngine.DUCKDB
    sql_plan_renderer = DuckDbSqlPlanRenderer()


@pytest.fixture(scope="module")
def ask(case):
    """Ask MetricFlow: the rows of a query, as dicts."""
    warehouse, *_ = case
    manifest = (warehouse.folder / "target/semantic_manifest.json").read_text()
    lookup = SemanticManifestLookup(parse_manifest_from_dbt_generated_manifest(manifest))
    engine = MetricFlowEngine(lookup, Client())

    def query(metrics=(), by=(), where=None, first=None, last=None, saved=None):
        request = MetricFlowQueryRequest.create(
            saved_query_name=saved,
            metric_names=list(metrics) or None,
            group_by_names=list(by) or None,
            where_constraints=[where] if where else None,
            time_constraint_start=first,
            time_constraint_end=last,
        )
        sql = engine.explain(request).sql_statement.sql
        with duckdb.connect(str(warehouse.database), read_only=True) as connection:
            found = connection.execute(sql)
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    return query


# --- Independent figures -------------------------------------------------------------------------


def known(row, as_known=False):
    """Give the label that counts, or None."""
    midnight = row["ts"].replace(hour=0, minute=0, second=0)
    until = midnight + timedelta(days=1) + GRACE if as_known else AS_OF
    values = [value for at, value in row["labels"] if at <= until]
    return values[-1] if values else None


def share(part, whole):
    """Divide; None by 0."""
    return part / whole if whole else None


def figures(rows, as_known=False):
    """Compute every metric of some events, one event after the other."""
    latencies = [row["latency"] for row in rows if row["latency"] is not None]
    # Only churn says what is slow.
    judged = [row for row in rows if row["latency"] is not None and row["model"] == "churn"]
    predictions = [row for row in rows if row["status"] < 400]
    labels = [(row, known(row, as_known)) for row in predictions]
    labels = [(row, value) for row, value in labels if value is not None]
    pairs, squares, errors = [], [], []
    for row, value in labels:
        if row["model"] == "intent" and row["class"]:
            pairs.append((row["class"], value))
        if row["model"] == "churn" and row["score"] is not None:
            pairs.append((int(row["score"] >= 0.5), value))
            squares.append((row["score"] - value) ** 2)
        if row["model"] == "price" and row["score"] is not None:
            errors.append(row["score"] - value)
    count = Counter(pairs)
    hits, false_alarms, misses = count[1, 1], count[1, 0], count[0, 1]
    return {
        "request_count": len(rows) or None,
        "error_count": sum(row["status"] >= 400 for row in rows),
        "error_rate": share(sum(row["status"] >= 400 for row in rows), len(rows)),
        "slow_rate": share(sum(row["latency"] > 20 for row in judged), len(judged)),
        "latency_mean_ms": share(sum(latencies), len(latencies)),
        "prediction_count": len(predictions) or None,
        "labeled_count": len(labels) if predictions else None,
        "label_coverage": share(len(labels), len(predictions)),
        "accuracy": share(sum(a == b for a, b in pairs), len(pairs)),
        "precision": share(hits, hits + false_alarms),
        "recall": share(hits, hits + misses),
        "f1": share(2 * hits, 2 * hits + false_alarms + misses),
        "false_positive_rate": share(false_alarms, false_alarms + count[0, 0]),
        "positive_rate": share(hits + misses, hits + misses + false_alarms + count[0, 0]),
        "brier_score": share(sum(squares), len(squares)),
        "mae": share(sum(map(abs, errors)), len(errors)),
        "rmse": math.sqrt(sum(e**2 for e in errors) / len(errors)) if errors else None,
    }


METRICS = list(figures([]))
SERVICE = METRICS[:5]


def is_equal(found, wanted):
    """Whether a metric is what it should be; a score is counted in units of 2^-30."""
    if wanted is None or found is None:
        return wanted == found
    return float(found) == pytest.approx(wanted, rel=1e-7)


def compare(found, groups, keys, metrics=METRICS, as_known=False, prefix="", suffix=""):
    """Compare the rows of a query with the figures of each group of events."""
    place = {tuple(row[key] for key in keys): row for row in found}
    assert len(place) == len(found) > 0
    assert place.keys() == groups.keys()
    for key, rows in groups.items():
        wanted = figures(rows, as_known)
        for name in metrics:
            value = place[key][f"{prefix}{name}{suffix}"]
            assert is_equal(value, wanted[name]), (key, name, value, wanted[name])


def grouped(rows, *parts):
    """Group events by functions of them."""
    groups = defaultdict(list)
    for row in rows:
        groups[tuple(part(row) for part in parts)].append(row)
    return groups


def live(events):
    return [row for row in events if row["role"] == "live"]


def day_of(row):
    return row["ts"].replace(hour=0, minute=0, second=0)


def week_of(row):
    return day_of(row) - timedelta(days=row["ts"].weekday())


def model_of(row):
    return row["model"]


def version_of(row):
    return row["version"]


# --- Queries -------------------------------------------------------------------------------------


def test_rates_of_all_time_are_of_all_requests(case, ask):
    _, events, _ = case
    compare(ask(METRICS), {(): live(events)}, ())


def test_by_day_model_and_version(case, ask):
    _, events, _ = case
    found = ask(METRICS, ["metric_time__day", "model_name", "model_version"])
    groups = grouped(live(events), day_of, model_of, version_of)
    compare(found, groups, ["metric_time__day", "model_name", "model_version"])


def test_by_week(case, ask):
    _, events, _ = case
    found = ask(METRICS, ["metric_time__week", "model_name"])
    compare(found, grouped(live(events), week_of, model_of), ["metric_time__week", "model_name"])


def test_any_dates(case, ask):
    _, events, _ = case
    first, last = datetime(2024, 1, 6), datetime(2024, 1, 24)
    rows = [row for row in live(events) if first <= day_of(row) <= last]
    found = ask(METRICS, ["model_version"], first=first, last=last)
    compare(found, grouped(rows, version_of), ["model_version"])
    # The rows tell a rate of all from a mean of daily rates.
    daily = [figures(day)["error_rate"] for day in grouped(rows, day_of).values()]
    assert sum(daily) / len(daily) != pytest.approx(figures(rows)["error_rate"], rel=0.05)


def test_a_version_by_a_filter(case, ask):
    _, events, _ = case
    rows = [row for row in live(events) if row["version"] == "v2"]
    found = ask(METRICS, where="{{ Entity('model_version') }} = 'v2'")
    compare(found, {(): rows}, ())


@pytest.mark.parametrize("name", ["plan", "country"])
def test_slices(case, ask, name):
    _, events, _ = case
    rows = [row for row in live(events) if row["model"] == "churn"]
    metrics = ["request_count", "error_rate", "slow_rate", "labeled_count", "label_coverage"]
    metrics += ["accuracy", "precision", "recall"]
    found = ask(
        [f"slice_{metric}" for metric in metrics],
        ["slice_value"],
        where=f"{{{{ Entity('slice_key') }}}} = '{name}'",
    )
    groups = grouped(rows, lambda row: row[name] or "(missing)")
    compare(found, groups, ["slice_value"], metrics, prefix="slice_")


def test_counts_of_several_slice_keys_are_not_added_up(case, ask):
    _, events, _ = case
    (added,) = ask(["slice_request_count", "slice_labeled_count", "slice_error_rate"])
    assert added["slice_request_count"] is None
    assert added["slice_labeled_count"] is None
    # A rate is not changed by counting each request twice.
    rows = [row for row in live(events) if row["model"] == "churn"]
    assert is_equal(added["slice_error_rate"], figures(rows)["error_rate"])
    by_key = ask(["slice_request_count"], ["slice_key"])
    assert {row["slice_key"]: row["slice_request_count"] for row in by_key} == {
        "plan": len(rows),
        "country": len(rows),
    }


def test_as_known_at_the_time(case, ask):
    _, events, _ = case
    # The labels of the last days may still grow: those days wait.
    grown = [row for row in live(events) if day_of(row) + timedelta(days=1) + GRACE <= AS_OF]
    # Models without a grace of their own have 48 hours.
    rows = [row for row in grown if row["model"] == "churn"]
    metrics = ["prediction_count", "labeled_count", "label_coverage"]
    metrics += ["accuracy", "precision", "recall"]
    found = ask(
        [f"{metric}_as_known" for metric in metrics],
        ["metric_time__week", "model_version"],
        where="{{ Entity('model_name') }} = 'churn'",
    )
    groups = grouped(rows, week_of, version_of)
    keys = ["metric_time__week", "model_version"]
    compare(found, groups, keys, metrics, as_known=True, suffix="_as_known")
    assert figures(rows, as_known=True)["accuracy"] != figures(rows)["accuracy"]


def test_lines_that_were_read(case, ask):
    _, events, faults = case
    wanted = defaultdict(Counter)
    for row in events:
        wanted[day_of(row)]["lines"] += 1
    for row, fault in faults:
        wanted[day_of(row)]["lines"] += 1
        wanted[day_of(row)][fault] += 1
    found = ask(
        ["line_count", "rejected_count", "reject_rate", "duplicate_rate"], ["metric_time__day"]
    )
    assert len(found) == len(wanted)
    for row in found:
        count = wanted[row["metric_time__day"]]
        assert row["line_count"] == count["lines"]
        assert row["rejected_count"] == count["rejected"]
        assert is_equal(row["reject_rate"], count["rejected"] / count["lines"])
        assert is_equal(row["duplicate_rate"], count["duplicate"] / count["lines"])
    (whole,) = ask(["reject_rate"])
    rejected = sum(fault == "rejected" for _, fault in faults)
    assert is_equal(whole["reject_rate"], rejected / (len(events) + len(faults)))


def test_corrections_of_labels(case, ask):
    _, events, _ = case
    counted = Counter()
    for row in events:
        counted["labels"] += len(row["labels"])
        values = [value for _, value in row["labels"]]
        counted["corrected"] += sum(a != b for a, b in pairwise(values))
    (found,) = ask(["label_count", "corrected_label_count", "label_correction_rate"])
    assert found["label_count"] == counted["labels"]
    assert found["corrected_label_count"] == counted["corrected"]
    assert is_equal(found["label_correction_rate"], counted["corrected"] / counted["labels"])


def test_alerts(case, ask):
    _, events, _ = case
    # A day that fails alone is an alert, that fires when the day is over.
    bad = {
        (version, day + timedelta(days=1))
        for (version, day), rows in grouped(
            [row for row in live(events) if row["model"] == "churn"], version_of, day_of
        ).items()
        if figures(rows)["error_rate"] > 0.5
    }
    assert bad == {(version, START + timedelta(days=day)) for version, day in BROKEN}
    found = ask(
        ["alert_count"],
        ["metric_time__day", "model_version", "alert__severity"],
        where="{{ Dimension('alert__alert_name') }} = 'broken'",
    )
    assert {(row["model_version"], row["metric_time__day"]) for row in found} == bad
    assert {(row["alert_count"], row["alert__severity"]) for row in found} == {(1, "page")}
    assert ask(["retraining_trigger_count"])[0]["retraining_trigger_count"] is None


# --- What is there -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def manifest(case):
    warehouse, *_ = case
    return json.loads((warehouse.folder / "target/semantic_manifest.json").read_text())


def test_every_saved_query_has_rows(ask, manifest):
    saved = manifest["saved_queries"]
    assert len(saved) >= 5
    for query in saved:
        found = ask(saved=query["name"])
        assert found, query["name"]
        for metric in query["query_params"]["metrics"]:
            assert any(row[metric] is not None for row in found), (query["name"], metric)


def test_every_metric_can_be_asked_for_and_says_its_unit(ask, manifest):
    names = [metric["name"] for metric in manifest["metrics"]]
    assert len(set(names)) == len(names) > 40
    for metric in manifest["metrics"]:
        ends = ("A count.", "From 0 to 1.", "In ms.", "A sum.", "A name.", "In the unit of the")
        assert any(end in metric["description"] for end in ends), metric["name"]
        assert len(ask([metric["name"]])) == 1


def test_measures_are_sums_of_counts_and_sums(manifest):
    for model in manifest["semantic_models"]:
        for measure in model["measures"]:
            if measure["name"].endswith("_slice_key"):
                assert measure["agg"] in ("min", "max")
                continue
            assert measure["agg"] == "sum", measure["name"]
            ends = ("_count", "_sum", "_sum_ms")
            assert measure["name"].endswith(ends), f"{measure['name']} may not be additive"


def test_no_metric_adds_up_rows_of_two_kinds(manifest):
    """Each simple metric says which window size, slices, role and label view it is of."""
    measures = {
        measure["name"]: model
        for model in manifest["semantic_models"]
        for measure in model["measures"]
    }
    simple = [metric for metric in manifest["metrics"] if metric["type"] == "simple"]
    assert len(simple) > 30
    for metric in simple:
        model = measures[metric["type_params"]["measure"]["name"]]
        where = " ".join(
            part["where_sql_template"] for part in (metric["filter"] or {}).get("where_filters", [])
        )
        entities = {entity["name"] for entity in model["entities"]}
        dimensions = {dimension["name"] for dimension in model["dimensions"]}
        kinds = {"window_size", "label_view"} & dimensions | {"slice_key"} & entities
        if "slice_key" in entities:
            kinds.add("role")
        assert all(kind in where for kind in kinds), metric["name"]


def test_the_calendar_covers_the_days(case):
    warehouse, *_ = case
    days = [row[0] for row in warehouse.query("from ml_monitoring.time_spine order by all")]
    assert days == [date(2024, 1, 1) + timedelta(days=number) for number in range(31)]


def test_the_commands_of_metricflow(case, tmp_path):
    """`mf` itself finds nothing wrong, and answers as the API does."""
    warehouse, events, _ = case
    for path in PROJECT.iterdir():
        if path.name not in ("target", "logs"):
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "target").symlink_to(warehouse.folder / "target")

    def mf(*arguments):
        # Its look for a newer version of itself needs a network.
        code = (
            "import sys; from dbt_metricflow.cli import main;"
            "main.UpdateChecker = lambda: type('No', (), {'check': lambda *_: None})();"
            "main.cli(sys.argv[1:], prog_name='mf')"
        )
        run = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env=os.environ | {"ML_MONITORING_PATH": str(warehouse.database)},
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    said = mf("validate-configs", "--show-all")
    assert said.count("ERRORS: 0, FUTURE_ERRORS: 0, WARNINGS: 0") >= 6, said
    table = tmp_path / "answer.csv"
    mf("query", "--metrics", "request_count,error_rate", "--csv", str(table))
    _, answer = table.read_text().split()
    count, rate = map(float, answer.split(","))
    wanted = figures(live(events))
    assert count == wanted["request_count"]
    assert is_equal(rate, wanted["error_rate"])
