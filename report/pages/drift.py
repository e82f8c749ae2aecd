"""Have the inputs and the output moved: features by days, then one feature from all sides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from report.database import Database, Row
from report.models import Model
from report.site import Json, Page

# Slices of a feature that its map shows: those that moved most. More rows say no more.
SLICES = 40
# A window is known by its last day, so that a day and the week up to it stand together.
LAST_DAY = "datediff('day', date '1970-01-01', window_end) - 1"
NOISE = "greatest(psi_noise_q95, psi_own_windows_q95)"
# A letter for each window: its level, or why there is none. `STATES` in drift.js reads them.
STATE = """
    case
        when drift_level = 'significant' then 's'
        when drift_level = 'moderate' then 'm'
        when drift_level = 'none' then 'n'
        when data_status = 'ok' then 'u'
        when data_status = 'no_baseline' then 'b'
        else 'i'
    end
"""
# What the chart and the table of a feature show, besides the ratio and the state.
MEASURES = {
    "psi": "round(psi, 5)",
    "noise": f"round({NOISE}, 5)",
    "ks": "round(ks_statistic, 4)",
    "missing": "round(current_null_rate, 5)",
    "missing_before": "round(baseline_null_rate, 5)",
    "new_categories": "round(new_category_rate, 5)",
    "out_of_range": "round(out_of_range_rate, 5)",
    "count": "current_count",
}
# What a row of the features by days has; slices have no more.
LINE = ("version", "days", "ratios", "states")


def pages(database: Database, models: list[Model]) -> Iterator[Page]:
    """Give a page for each model; maps and features are loaded when somebody looks at them."""
    for model in models:
        series = _series(database, model)
        types = {row["feature"]: row["feature_type"] for row in series}
        features = sorted(types)
        views = {(row["window_size"], row["comparison"]) for row in series}
        folder = f"{model.folder}/drift"
        checks = _checks(database, model)
        flags = [row for row in checks if row["days"]]
        multivariate = _multivariate(database, model)
        yield Page(
            f"{model.folder}/drift.html",
            f"Drift of {model.name}",
            "drift.html",
            {
                "model": model,
                "features": features,
                "sizes": sorted({size for size, _ in views}, key=_days),
                "flags": flags,
                "judged": sum(row["judged"] for row in checks),
                "total": sum(row["total"] for row in checks),
                "multivariate": multivariate,
            },
            {
                "folder": folder,
                "features": [[name, types[name]] for name in features],
                "flags": flags,
                "multivariate": multivariate,
            },
            _files(folder, features, series, _distributions(database, model)),
        )


def _days(window_size: str) -> int:
    return int(window_size.removesuffix("d"))


def _series(database: Database, model: Model) -> list[Row]:
    """Give a row for each line of windows, of the whole model and of slices."""
    measures = ", ".join(f"{name}: {expression}" for name, expression in MEASURES.items())
    lists = ", ".join(
        f"list_transform(measures, lambda x: x.{name}) as {name}" for name in MEASURES
    )
    # Windows are put in order once, and not for each list.
    return database.rows(
        f"""
        with lines as (
            select
                feature, any_value(feature_type) as feature_type, comparison, window_size,
                slice_key, slice_value, model_version || ' ' || role as version,
                min(window_start) as first_start,
                list(
                    {{
                        day: {LAST_DAY}, ratio: round(psi / nullif({NOISE}, 0), 2), state: {STATE}
                    }} order by window_start
                ) as windows,
                list({{{measures}}} order by window_start) filter (slice_key = 'all')
                    as measures
            from {{public}}.feature_drift
            where model_name = $name
            group by feature, comparison, window_size, slice_key, slice_value, version
        )

        select
            feature, feature_type, comparison, window_size, slice_key, slice_value, version,
            list_transform(windows, lambda x: x.day) as days,
            list_transform(windows, lambda x: x.ratio) as ratios,
            array_to_string(list_transform(windows, lambda x: x.state), '') as states,
            {lists}
        from lines
        order by first_start, version
        """,
        name=model.name,
    )


def _distributions(database: Database, model: Model) -> list[Row]:
    """Give the cells of all windows of each feature: a group has the same cells and baseline.

    Each window before is another one, so its counts stand beside those of the window. It is much,
    and is written as JSON where it is read.
    """
    return database.rows(
        f"""
        with windows as (
            select
                feature, comparison, window_size, model_version || ' ' || role as version,
                {LAST_DAY} as day,
                list(
                    {{
                        edges: [bin_lower, bin_upper], category: category,
                        before: baseline_count, current: current_count
                    }} order by bin
                ) as cells
            from {{public}}.feature_distributions
            where model_name = $name and slice_key = 'all'
            group by feature, comparison, window_size, version, day
        ),

        columns as (
            select
                feature, comparison, window_size, version, day,
                list_transform(cells, lambda x: x.edges) as edges,
                list_transform(cells, lambda x: x.category) as categories,
                list_transform(cells, lambda x: x.before) as before,
                list_transform(cells, lambda x: x.current) as current
            from windows
        ),

        groups as (
            select
                feature, comparison, window_size, edges, categories,
                if(comparison = 'baseline', before, null) as baseline,
                list(
                    {{version: version, day: day, before: before, current: current}}
                    order by version, day
                ) as windows
            from columns
            group by feature, comparison, window_size, edges, categories, baseline
        )

        select
            feature, comparison, window_size,
            to_json(list(
                {{
                    edges: edges, categories: categories, baseline: baseline,
                    versions: list_transform(windows, lambda x: x.version),
                    days: list_transform(windows, lambda x: x.day),
                    before: if(
                        baseline is null, list_transform(windows, lambda x: x.before), null
                    ),
                    current: list_transform(windows, lambda x: x.current)
                }} order by windows[1].day, windows[1].version
            ))::varchar as cells
        from groups
        group by all
        """,
        name=model.name,
    )


def _checks(database: Database, model: Model) -> list[Row]:
    """Give what is wrong with features as such, the newest first; days are those flagged."""
    return database.rows(
        f"""
        select
            feature, integrity_check, model_version || ' ' || role as version,
            list({LAST_DAY} order by window_start) filter (is_flagged) as days,
            min(window_start) filter (is_flagged) as first_day,
            max(window_start) filter (is_flagged) as last_day,
            max_by(detail, window_start) filter (is_flagged) as detail,
            count(*) as total, count(is_flagged) as judged
        from {{public}}.feature_integrity
        where model_name = $name
        group by feature, integrity_check, version
        order by last_day desc, feature, integrity_check, version
        """,
        name=model.name,
    )


def _multivariate(database: Database, model: Model) -> list[Row]:
    """Give how well a classifier tells each window from the baseline, and by which features."""
    windows = database.rows(
        f"""
        select
            model_version || ' ' || role as version, {LAST_DAY} as day, window_size, window_start,
            window_end, round(domain_classifier_auc, 4) as auc,
            round(domain_classifier_auc_lower, 4) as lower,
            round(domain_classifier_auc_upper, 4) as upper,
            round(auc_own_windows_q95, 4) as own, drift_level, data_status
        from {{public}}.multivariate_drift
        where model_name = $name
        order by window_start, version
        """,
        name=model.name,
    )
    telling = database.rows(
        """
        select
            model_version || ' ' || role as version, window_start,
            list(feature order by importance_rank) as features
        from {public}.multivariate_drift_features
        where model_name = $name and importance_rank <= 3 and importance > 0
        group by version, window_start
        """,
        name=model.name,
    )
    names = {(row["version"], row["window_start"]): row["features"] for row in telling}
    return [
        row | {"features": names.get((row["version"], row["window_start"]), [])} for row in windows
    ]


def _files(
    folder: str, features: list[str], series: list[Row], distributions: list[Row]
) -> dict[str, Any]:
    """Give the map of each window size and comparison, and each feature in it, by path."""
    numbers = {name: number for number, name in enumerate(features)}
    maps: dict[str, list] = defaultdict(list)
    panels: dict[str, dict] = defaultdict(lambda: {"series": [], "cells": [], "slices": []})
    for row in series:
        view = f"{row['window_size']}-{row['comparison']}"
        number = numbers[row["feature"]]
        panel = panels[f"{folder}/{view}/{number}.js"]
        line = {name: row[name] for name in LINE}
        if row["slice_key"] != "all":
            panel["slices"].append({"slice": [row["slice_key"], row["slice_value"]]} | line)
            continue
        panel["series"].append(line | {name: row[name] for name in MEASURES})
        newest = {name: row[name][-1] for name in MEASURES}
        maps[f"{folder}/{view}.js"].append({"feature": number, "newest": newest} | line)
    for row in distributions:
        view = f"{row['window_size']}-{row['comparison']}"
        panels[f"{folder}/{view}/{numbers[row['feature']]}.js"]["cells"] = Json(row["cells"])
    for panel in panels.values():
        panel["slices"], panel["left_out"] = moved_most(panel["slices"])
    return dict(maps) | dict(panels)


def moved_most(lines: list[Row], limit: int = SLICES) -> tuple[list[Row], int]:
    """Keep the slices with most significant windows, then the largest PSI over its noise.

    Returns
    -------
    list of dict
        All lines of the slices that stay.
    int
        How many slices are left out.
    """
    size: dict[tuple, tuple] = defaultdict(lambda: (0, 0.0))
    for line in lines:
        count, largest = size[tuple(line["slice"])]
        ratios = [ratio for ratio in line["ratios"] if ratio is not None]
        size[tuple(line["slice"])] = (
            count + line["states"].count("s"),
            max([largest, *ratios]),
        )
    kept = set(sorted(size, key=lambda name: size[name], reverse=True)[:limit])
    return [line for line in lines if tuple(line["slice"]) in kept], len(size) - len(kept)
