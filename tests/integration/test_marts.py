"""The marts against an oracle that reads the landing files itself, on two unlike projects."""

import json
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from functions import Plugin
from tests.integration import oracle
from tests.integration.warehouse import PROJECT, TARGET, Warehouse

GRACE_HOURS = 48


@dataclass
class Case:
    """A built warehouse and what the oracle reads from the same files."""

    warehouse: Warehouse
    as_of: datetime
    events: pd.DataFrame
    counts: dict[str, int]
    labels: pd.DataFrame

    @property
    def thresholds(self) -> dict[str, float | None]:
        """The latency above which a request of a model is slow."""
        models = self.warehouse.vars["monitored_models"]
        return {model["name"]: model.get("latency_threshold_ms") for model in models}


def built_case(warehouse: Warehouse, as_of: str, slice_value: Any) -> Case:
    build = warehouse.build("--exclude", "path:tests/slo", as_of=as_of)
    assert build.exit_code == 0, build.end
    moment = datetime.fromisoformat(as_of)
    events, counts = oracle.read_events(warehouse.landing, moment, slice_value)
    labels = oracle.read_labels(warehouse.landing, moment)
    return Case(warehouse, moment, events, counts, labels)


def demo_case(folder, demo_landing) -> Case:
    """Two weeks of the demo, by the configuration that the project is cloned with."""
    warehouse = Warehouse(folder)
    project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())
    warehouse.vars |= {
        "monitored_models": project["vars"]["monitored_models"],
        "landing_path": str(demo_landing),
        "slo_targets_relation": None,
        "deployments_relation": None,
    }

    def slices(record):
        features = record["features"] or {}
        return {key: features.get(key) or "(missing)" for key in ("carrier", "origin")}

    case = built_case(warehouse, "2013-07-20", slices)
    case.events, case.counts = oracle.read_events(demo_landing, case.as_of, slices)
    case.labels = oracle.read_labels(demo_landing, case.as_of)
    return case


OTHER_MODELS = [
    {
        "name": "größe 'x'",
        "task": "regression",
        "baseline": {"start": "2024-03-01", "end": "2024-03-05"},
        "features": [
            {"name": "select", "type": "numerical"},
            {"name": "a b.c", "type": "categorical"},
            {"name": "0", "type": "boolean"},
        ],
        "slices": [{"name": "select", "breaks": [-1, 0.5]}, "a b.c", "0"],
    },
    {
        "name": "intent",
        "task": "multiclass_classification",
        "latency_threshold_ms": 12.5,
        "features": [{"name": "0", "type": "numerical"}, {"name": "words", "type": "numerical"}],
        "slices": ["tier", {"name": "age", "breaks": [18, 65]}],
    },
]


def other_slices(record):
    features, attributes = record["features"] or {}, record["attributes"] or {}

    def band(value, breaks):
        value = oracle.number(value)
        if value is None:
            return "(missing)"
        for low, bound in zip([None, *breaks], breaks, strict=False):
            if value < bound:
                return f"< {bound}" if low is None else f"{low} to < {bound}"
        return f">= {breaks[-1]}"

    def text(value):
        return {True: "true", False: "false", None: "(missing)"}.get(value, value)

    if record["model"] == "intent":
        return {"tier": text(attributes.get("tier")), "age": band(attributes.get("age"), [18, 65])}
    if record["model"] == "größe 'x'":
        return {
            "select": band(features.get("select"), [-1, 0.5]),
            "a b.c": text(features.get("a b.c")),
            "0": text(features.get("0")),
        }
    return {}


def other_records(rng: random.Random):
    """Ten days of three models, one of them not monitored, two of them sharing request ids."""
    start = datetime(2024, 3, 1)
    events, labels = [], []
    for number in range(4000):
        model = rng.choice(["größe 'x'", "intent", "intent", "elsewhere"])
        ts = start + timedelta(seconds=rng.uniform(0, 10 * 86400))
        event = {
            "request_id": f"q{number % 3500}",
            "ts": ts.isoformat(timespec="milliseconds") + "Z",
            "model": model,
            "model_version": rng.choice(["1", '2 "beta"']),
            "role": rng.choice(["live", "live", "shadow"]),
            "status": rng.choice([200, 200, 200, 201, 404, 500]),
            "latency_ms": rng.choice([rng.lognormvariate(3, 1), 0.0, 0.0004, None, -1.0, 12.5]),
            "inference_time_ms": rng.choice([None, rng.expovariate(0.1)]),
            "score": rng.random(),
            "features": {
                "select": rng.choice([rng.gauss(0, 1), None]),
                "a b.c": rng.choice(["x", "y'", "<b>", None]),
                "0": rng.choice([True, False, None]),
            },
            "attributes": {
                "tier": rng.choice(["gold", "", None]),
                "age": rng.choice([None, 17, 18, 64.5, 70]),
            },
        }
        if model == "intent":
            event["features"] = {"0": 1.5, "words": rng.randint(0, 9)}
        events.append(event)
        for _ in range(rng.choice([0, 1, 1, 2])):
            hours = rng.choice([rng.uniform(-5, 40), rng.uniform(40, 200)])
            labels.append(
                {
                    "request_id": event["request_id"],
                    "label": ("greet" if hours < 60 else "ask")
                    if model == "intent"
                    else rng.gauss(0, 1),
                    "labeled_at": (ts + timedelta(hours=hours)).isoformat() + "Z",
                    "model": rng.choice([model, model, None]),
                }
            )
    labels += [
        {"request_id": f"unknown{n}", "label": 1, "labeled_at": labels[n]["labeled_at"]}
        for n in range(30)
    ]
    return events, labels


def other_case(folder) -> Case:
    warehouse = Warehouse(folder, {"monitored_models": OTHER_MODELS})
    rng = random.Random(5)
    events, labels = other_records(rng)
    duplicates = [record | {"latency_ms": 1.0} for record in rng.sample(events, 200)]
    for record in duplicates:
        later = datetime.fromisoformat(record["ts"]) + timedelta(seconds=rng.choice([1, 90000]))
        record["ts"] = later.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    duplicates[::2] = rng.sample(events, 100)
    future = [events[0] | {"request_id": f"f{n}", "ts": "2099-01-01T00:00:00Z"} for n in range(3)]
    warehouse.write("inference_events/a/lines.jsonl", [*events[:1500], "{broken", "[]", *future])
    warehouse.write("inference_events/b.jsonl.gz", events[1500:3000] + duplicates[100:])
    # A column has one type: in Parquet the models do not share a file.
    typed = [e | {"ts": e["ts"].rstrip("Z")} for e in events[3000:] + duplicates[:100]]
    warehouse.write(
        "inference_events/d.jsonl",
        [e | {"ts": e["ts"] + "Z"} for e in typed if e["model"] == "intent"],
    )
    rows = pa.Table.from_pylist([e for e in typed if e["model"] != "intent"])
    rows = rows.set_column(1, "ts", rows["ts"].cast(pa.timestamp("ms")))
    pq.write_table(rows, warehouse.landing / "inference_events" / "c.parquet")
    warehouse.write("labels/2024/03/l.jsonl", labels)
    targets = [
        ("burst", "intent", "latency_p95_ms", "all", "10m"),
        ("hours", "intent", "latency_p95_ms", "tier", "6h"),
        ("days", "größe 'x'", "error_rate", "all", "3d"),
    ]
    names = ("slo_name", "model_name", "metric", "slice_key", "window_size")
    changes = [dict(zip(names, target, strict=True)) | {"objective": "1e9"} for target in targets]
    warehouse.own("slo_targets", TARGET, changes)
    warehouse.vars["performance_windows_days"] = [1, 3, 7]
    return built_case(warehouse, "2024-03-09 06:30:30", other_slices)


@pytest.fixture(scope="module", params=["demo", "other"])
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "demo":
        return demo_case(folder, request.getfixturevalue("demo_landing"))
    return other_case(folder)


KEYS = [*oracle.SERIES, "window_start"]


def assert_same(found: pd.DataFrame, expected: pd.DataFrame, keys, exact, close=(), atol=1e-6):
    """Compare two tables row by row."""
    found = found.sort_values(keys).reset_index(drop=True)
    expected = expected.sort_values(keys).reset_index(drop=True)
    assert len(expected) > 10
    pd.testing.assert_frame_equal(
        found[keys], expected[keys], check_dtype=False, check_index_type=False
    )
    for column in exact:
        assert (found[column].to_numpy() == expected[column].to_numpy()).all(), column
    for column in close:
        np.testing.assert_allclose(
            found[column].to_numpy(float),
            expected[column].to_numpy(float),
            rtol=1e-9,
            atol=atol,
            err_msg=column,
        )


RATES = ["error_rate", "slow_count", "slow_rate", "latency_p50_ms", "latency_p95_ms"]
RATES += ["latency_p99_ms", "latency_mean_ms", "latency_max_ms"]
RATES += ["inference_time_p50_ms", "inference_time_p95_ms"]


@pytest.mark.parametrize(("size", "frequency"), [("1h", "h"), ("1d", "D")])
def test_service_levels(case, size, frequency):
    found = case.warehouse.frame(
        f"select * from ml_monitoring.service_levels where window_size = '{size}'"
    )
    expected = oracle.service_levels(case.events, frequency, case.thresholds)
    length = pd.Timedelta(hours=1 if size == "1h" else 24)
    expected = expected[expected["window_start"] + length <= case.as_of]
    assert_same(found, expected, KEYS, ["request_count", "error_count"], RATES)
    assert (found["window_end"] - found["window_start"] == length).all()
    minutes = length / pd.Timedelta("1min")
    np.testing.assert_allclose(found["requests_per_minute"], found["request_count"] / minutes)


def test_service_levels_minute(case):
    found = case.warehouse.frame("select * from ml_monitoring.service_levels_minute")
    events = case.events.assign(slices=[{"all": "all"}] * len(case.events))
    expected = oracle.service_levels(events, "min", case.thresholds)
    expected = expected[expected["window_start"] + pd.Timedelta("1min") <= case.as_of]
    silent = found[found["request_count"] == 0]
    assert len(silent) > 100
    assert silent[[name for name in RATES if name != "slow_count"]].isna().all(axis=None)
    has_threshold = silent["model_name"].map(case.thresholds).notna()
    assert (silent["slow_count"].isna() == ~has_threshold).all()
    assert (silent["slow_count"].fillna(0) == 0).all()
    assert_same(found[found["request_count"] > 0], expected, KEYS, ["request_count"], RATES)
    # Inside a series there is no gap and no minute twice.
    for _, series in found.groupby(oracle.SERIES):
        starts = series["window_start"].sort_values()
        if len(series) > 2000:
            assert (starts.diff().dropna() == pd.Timedelta("1min")).mean() > 0.99
        assert starts.is_unique


def test_rolling_windows(case):
    found = case.warehouse.frame("select * from ml_monitoring.service_levels_rolling")
    assert len(found) > 100
    rows = oracle.by_slice(case.events)
    rows["is_error"] = rows["status"] >= 400
    series = dict(iter(rows.groupby(oracle.SERIES)))
    sample = found.sample(400, random_state=1) if len(found) > 400 else found
    filled = 0
    for window in sample.itertuples():
        key = tuple(getattr(window, name) for name in oracle.SERIES)
        inside = series[key]
        inside = inside[(inside["ts"] >= window.window_start) & (inside["ts"] < window.window_end)]
        assert window.request_count == len(inside)
        assert window.error_count == inside["is_error"].sum()
        minutes = (window.window_end - window.window_start) / pd.Timedelta(minutes=1)
        np.testing.assert_allclose(window.requests_per_minute, len(inside) / minutes)
        latency = inside["latency_ms"].dropna().astype(float)
        threshold = case.thresholds.get(window.model_name)
        if threshold is None:
            assert pd.isna(window.slow_count) and pd.isna(window.slow_rate)
        else:
            assert window.slow_count == (latency > threshold).sum()
            judged = (latency > threshold).mean() if len(latency) else np.nan
            np.testing.assert_allclose(window.slow_rate, judged)
        if latency.empty:
            assert np.isnan(window.latency_p95_ms)
            continue
        filled += 1
        # Under a microsecond is 0; all else within 2 %.
        for q, value in [(0.5, window.latency_p50_ms), (0.95, window.latency_p95_ms)]:
            np.testing.assert_allclose(value, latency.quantile(q), rtol=0.02, atol=0.001)
        np.testing.assert_allclose(window.latency_mean_ms, latency.mean(), atol=1e-6)
        assert window.latency_max_ms == latency.max()
    assert filled > 40


def fits_task(model, label) -> bool:
    """Whether a label can be the truth of a model: the regression here needs a number."""
    return model != "größe 'x'" or isinstance(label, float)


@pytest.mark.parametrize("days", [1, 7])
def test_label_coverage(case, days):
    found = case.warehouse.frame(
        f"select * from ml_monitoring.label_coverage where window_size = '{days}d'"
    )
    expected = oracle.label_coverage(
        case.events, case.labels, days, case.as_of, GRACE_HOURS, fits_task
    )
    # A model that nobody described has service levels only.
    expected = expected[expected["model_name"] != "elsewhere"]
    keys = [*oracle.SERIES, "window_end", "label_view"]
    assert_same(found, expected, keys, ["prediction_count", "labeled_count"])
    # Until the grace is over a window can still gain labels: no number yet.
    growing = (found["label_view"] == "as_known") & (
        found["window_end"] + pd.Timedelta(hours=GRACE_HOURS) > case.as_of
    )
    assert growing.any() and (~growing).any()
    assert (found["data_status"] == np.where(growing, "immature", "ok")).all()
    assert found.loc[growing, "label_coverage"].isna().all()
    settled = found[~growing]
    np.testing.assert_allclose(
        settled["label_coverage"], settled["labeled_count"] / settled["prediction_count"]
    )
    # The count is a metric that is there all the time, with the status of its window.
    long = case.warehouse.frame(
        "select * from ml_monitoring.monitoring_metrics where metric = 'labeled_count'"
        f" and window_size = '{days}d'"
    )
    assert_same(
        long.rename(columns={"value": "labeled_count", "sample_count": "prediction_count"}),
        found, keys, ["prediction_count", "labeled_count", "data_status"],
    )  # fmt: skip


@pytest.mark.parametrize(("size", "frequency"), [("1h", "h"), ("1d", "D")])
def test_label_corrections(case, size, frequency):
    found = case.warehouse.frame(
        f"select * from ml_monitoring.label_corrections where window_size = '{size}'"
    )
    expected = oracle.label_corrections(case.events, case.labels, frequency, fits_task)
    expected = expected[expected["model_name"] != "elsewhere"]
    length = pd.Timedelta(hours=1 if size == "1h" else 24)
    expected = expected[expected["window_start"] + length <= case.as_of]
    counts = ["label_count", "corrected_label_count"]
    assert_same(found, expected, ["model_name", "window_start"], counts)
    assert (found["window_end"] - found["window_start"] == length).all()
    np.testing.assert_allclose(
        found["label_correction_rate"], found["corrected_label_count"] / found["label_count"]
    )
    if "intent" in set(found["model_name"]):
        shares = found.groupby("model_name")[counts].sum()
        assert (shares["corrected_label_count"] > 20).all()
        assert (shares["corrected_label_count"] < shares["label_count"]).all()


def test_lines_are_accounted_for(case):
    counts = case.warehouse.frame(
        "select sum(line_count) as lines, sum(rejected_count) as rejected, sum(held_count) as held,"
        " sum(duplicate_count) as duplicate, sum(accepted_count) as accepted"
        " from ml_monitoring.ingestion_reconciliation where input = 'inference_events'"
    ).iloc[0]
    assert {name: counts[name] for name in case.counts} == case.counts
    assert counts["accepted"] == len(case.events)


def test_metrics_repeat_their_home_tables(case):
    long = case.warehouse.frame(
        "select * from ml_monitoring.monitoring_metrics where metric = 'error_rate'"
        " and home_table = 'service_levels' and window_size = '1d'"
    )
    home = case.warehouse.frame(
        "select * from ml_monitoring.service_levels where window_size = '1d'"
    )
    assert_same(long.rename(columns={"value": "error_rate"}), home, [*KEYS], [], ["error_rate"])
    # The month before, from the rows of the table itself.
    for row in long.sample(min(len(long), 60), random_state=2).itertuples():
        same = (home[oracle.SERIES] == [getattr(row, key) for key in oracle.SERIES]).all(axis=1)
        before = home[
            same
            & (home["window_end"] <= row.window_start)
            & (home["window_end"] > row.window_start - pd.Timedelta(days=30))
        ]["error_rate"]
        if len(before) < 7:
            assert np.isnan(row.baseline_mean) and np.isnan(row.change_vs_baseline)
        else:
            np.testing.assert_allclose(row.baseline_mean, before.mean(), atol=1e-12)
            np.testing.assert_allclose(row.baseline_stddev, before.std(), atol=1e-9)
            np.testing.assert_allclose(
                row.change_vs_baseline, row.value - before.mean(), atol=1e-12
            )


def test_configuration_is_not_pasted_into_sql(case):
    """Names with quotes, umlauts and keywords are in the tables as they were logged."""
    if "intent" not in set(case.events["model_name"]):
        names = case.warehouse.query("select distinct model_name from ml_monitoring.service_levels")
        assert names == [("flight_delay",)]
        versions = set(zip(case.events["model_version"], case.events["role"], strict=True))
        assert versions == {("v1", "live"), ("v2", "shadow"), ("v2", "live")}
        return
    found = case.warehouse.query(
        "select distinct model_name, slice_key from ml_monitoring.service_levels order by all"
    )
    expected = [("elsewhere", "all")]
    expected += [("größe 'x'", key) for key in ("0", "a b.c", "all", "select")]
    expected += [("intent", key) for key in ("age", "all", "tier")]
    assert found == sorted(expected)
    assert json.dumps(found)


def test_the_analyses_run(case):
    """Each of them, on the tables of both projects, with the functions that dbt registers."""
    warehouse = case.warehouse
    assert warehouse.dbt("compile", "--select", "path:analyses").exit_code == 0
    compiled = warehouse.folder / "target" / "compiled" / "ml_monitoring" / "analyses"
    analyses = sorted(compiled.glob("*.sql"))
    assert [path.name for path in analyses] == sorted(
        path.name for path in (PROJECT / "analyses").glob("*.sql")
    )
    with duckdb.connect(str(warehouse.database)) as connection:
        Plugin.__new__(Plugin).configure_connection(connection)
        found = {path.stem: connection.execute(path.read_text()).fetchall() for path in analyses}
    if "intent" not in set(case.events["model_name"]):
        assert found["calibration_of_pooled_days"] and found["when_do_labels_arrive"]
