"""How good the model is: by labels, estimated without them, and by slice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from report.database import Database, Row
from report.lines import last_known, of_window, windows_of
from report.models import Model
from report.site import Page


@dataclass(frozen=True)
class Measure:
    """The main metric of a task, a column of model_performance."""

    column: str
    label: str
    unit: str
    higher_is_better: bool = True

    @property
    def worst(self):
        """Which of several values is the worst."""
        return min if self.higher_is_better else max


MEASURES = {
    "binary_classification": Measure("roc_auc", "AUC", "0 to 1"),
    "multiclass_classification": Measure("accuracy", "Accuracy", "0 to 1"),
    "regression": Measure("mae", "Mean absolute error", "unit of the label", False),
}


def pages(database: Database, models: list[Model]) -> Iterator[Page]:
    """Give a page for each model; the lines of a window size are loaded when it is chosen."""
    tasks = database.rows("""
        select model_name, arg_max(task, window_end) as task
        from {public}.model_performance
        group by all
    """)
    task_of = {row["model_name"]: row["task"] for row in tasks}
    # The largest of all tables: once for all models, and each takes its main metric.
    trends = _by_model(
        database.rows("""
        select
            model_name, metric, model_version || ' ' || role as version, window_size,
            list(window_end::date order by window_end) as time,
            list(value order by window_end) as value,
            list(value_lower order by window_end) as lower,
            list(value_upper order by window_end) as upper,
            list(baseline_mean order by window_end) as mean,
            list(baseline_stddev order by window_end) as spread,
            list(sample_count order by window_end) as labels,
            list(data_status order by window_end) as status
        from {public}.monitoring_metrics
        where home_table = 'model_performance' and label_view = 'as_known'
            and slice_key = 'all' and metric in ('roc_auc', 'accuracy', 'mae')
        group by all
        order by model_name, min(window_end), version
    """)
    )
    for model in models:
        measure = MEASURES[task_of.get(model.name, "binary_classification")]
        own = [row for row in trends[model.name] if row["metric"] == measure.column]
        estimates = _estimates(database, model, measure)
        coverage = _coverage(database, model)
        slices = _slices(database, model, measure)
        sizes = windows_of(own + coverage)
        files = {
            f"{model.folder}/performance/{size}.js": {
                "trends": of_window(own, size),
                "estimates": of_window(estimates, size),
                "coverage": of_window(coverage, size),
                "slices": of_window(slices, size),
            }
            for size in sizes
        }
        yield Page(
            f"{model.folder}/performance.html",
            f"Performance of {model.name}",
            "performance.html",
            {
                "model": model,
                "measure": measure,
                "windows": sizes,
                "figures": [figures(row, measure) for row in own],
                "estimates": [estimate_figures(row) for row in estimates],
                "coverage": [coverage_figures(row) for row in coverage],
                "slice_keys": sorted({row["key"] for row in slices}),
            },
            {
                "label": measure.label,
                "unit": measure.unit,
                "versions": model.versions,
                "live": f"{model.live_version} live",
                "windows": dict(zip(sizes, files, strict=True)),
            },
            files,
        )


def _by_model(rows: list[Row]) -> dict[str, list[Row]]:
    found = defaultdict(list)
    for row in rows:
        found[row["model_name"]].append(row)
    return found


def _estimates(database: Database, model: Model, measure: Measure) -> list[Row]:
    return database.rows(
        """
        select
            model_version || ' ' || role as version, window_size,
            list(window_end::date order by window_end) as time,
            list(value order by window_end) as value,
            list(value_lower order by window_end) as lower,
            list(value_upper order by window_end) as upper,
            list(realised_value order by window_end) as realised,
            list(reference_value order by window_end) as reference,
            list(data_status order by window_end) as status
        from {public}.estimated_performance
        where model_name = $name and metric = $metric
        group by all
        order by min(window_end), version
        """,
        name=model.name,
        metric=f"estimated_{measure.column}",
    )


def _coverage(database: Database, model: Model) -> list[Row]:
    return database.rows(
        """
        select
            model_version || ' ' || role as version, window_size,
            list(window_end::date order by window_end) as time,
            list(label_coverage order by window_end) as coverage,
            list(label_delay_p50_hours order by window_end) as p50,
            list(label_delay_p95_hours order by window_end) as p95,
            list(prediction_count order by window_end) as predictions,
            list(data_status order by window_end) as status
        from {public}.label_coverage
        where model_name = $name and label_view = 'as_known' and slice_key = 'all'
        group by all
        order by min(window_end), version
        """,
        name=model.name,
    )


def _slices(database: Database, model: Model, measure: Measure) -> list[Row]:
    """Give the lines of all slices, worst first, with what changed in the newest judged window."""
    # The name of the column is one of MEASURES, nothing from outside.
    lines = database.rows(
        f"""
        select
            slice_key as key, slice_value as value, model_version || ' ' || role as version,
            window_size,
            list(window_end::date order by window_end) as time,
            list({measure.column} order by window_end) as found,
            arg_max(labeled_count, window_end) as labels,
            arg_max(data_status, window_end) as status
        from {{public}}.model_performance
        where model_name = $name and label_view = 'as_known' and slice_key <> 'all'
        group by all
        """,
        name=model.name,
    )
    changes = database.rows(
        """
        select
            slice_key, slice_value, model_version || ' ' || role as version, window_size,
            window_start::date as start, window_end::date as end, value, reference_value as before,
            difference_in_changes as difference, qvalue, slice_rank as rank,
            labeled_count as labels, data_status as status
        from {public}.slice_changes
        where model_name = $name and label_view = 'as_known' and metric = $metric
        qualify window_end = max(window_end) filter (where data_status = 'ok')
            over (partition by model_version, role, window_size)
        """,
        name=model.name,
        metric=measure.column,
    )
    keys = ("version", "window_size", "slice_key", "slice_value")
    change_of = {tuple(row.pop(key) for key in keys): row for row in changes}
    for line in lines:
        key = (line["version"], line["window_size"], line["key"], line["value"])
        line["change"] = change_of.get(key)
    return sorted(lines, key=lambda line: worst_first(line, measure))


def worst_first(line: Row, measure: Measure) -> tuple:
    """Order slices by their rank; without one by the last value; then those that have neither."""
    rank = line["change"] and line["change"]["rank"]
    last = last_known(line["found"])
    value = 0 if last is None else line["found"][last] * (1 if measure.higher_is_better else -1)
    return (rank is None, rank or 0, last is None, value, line["key"], line["value"])


def figures(line: Row, measure: Measure) -> Row:
    """Say the newest judged window of a line, and the worst."""
    found = _newest(line, line["value"])
    n = found["n"]
    if n is None:
        return found
    value, mean, spread = line["value"][n], line["mean"][n], line["spread"][n]
    band = None
    if mean is not None and spread is not None:
        low, high = mean - 2 * spread, mean + 2 * spread
        place = "below" if value < low else "above" if value > high else "within"
        bad = "below" if measure.higher_is_better else "above"
        band = {"low": low, "high": high, "place": place, "is_worse": place == bad}
    known = [(v, t) for v, t in zip(line["value"], line["time"], strict=True) if v is not None]
    worst, worst_day = measure.worst(known)
    return found | {
        "value": value, "lower": line["lower"][n], "upper": line["upper"][n],
        "labels": line["labels"][n], "band": band, "worst": worst, "worst_day": worst_day,
    }  # fmt: skip


def estimate_figures(line: Row) -> Row:
    """Say the newest estimate of a line, and how far its estimates were off where labels came."""
    found = _newest(line, line["value"])
    n = found["n"]
    if n is None:
        return found
    columns = zip(
        *(line[c] for c in ("value", "realised", "reference", "lower", "upper")), strict=True
    )
    both = [row for row in columns if row[0] is not None and row[1] is not None]
    naive = [abs(row[2] - row[1]) for row in both if row[2] is not None]
    judged = [row[3] <= row[1] <= row[4] for row in both if row[3] is not None]
    return found | {
        "value": line["value"][n], "lower": line["lower"][n], "upper": line["upper"][n],
        "realised": line["realised"][n], "windows": len(both),
        "off": fmean(abs(row[0] - row[1]) for row in both) if both else None,
        "reference_off": fmean(naive) if naive else None,
        "inside": fmean(judged) if judged else None,
    }  # fmt: skip


def coverage_figures(line: Row) -> Row:
    """Say the newest judged label coverage of a line."""
    found = _newest(line, line["coverage"])
    n = found["n"]
    if n is None:
        return found
    columns = ("coverage", "p50", "p95", "predictions")
    return found | {name: line[name][n] for name in columns}


def _newest(line: Row, values: list) -> Row:
    """Name a line, its last known place, and why nothing is known since."""
    n = last_known(values)
    return {
        "version": line["version"],
        "window_size": line["window_size"],
        "n": n,
        "end": None if n is None else line["time"][n],
        "since": None if n == len(values) - 1 else line["status"][-1],
    }
