"""Are the scores right, and is the model fair: for the whole, and by group."""

from __future__ import annotations

from collections.abc import Iterator

from report.database import Database, Row, grouped
from report.lines import DEFAULT_WINDOW, last_known, of_window, windows_of
from report.models import Model
from report.site import Page

# Of the board: a page has to open at once. Ranked, so those that matter are there.
BOARD_ROWS = 1000
DEFAULT_GAP = "equal_opportunity_difference"
# What the states of the board are shown as; others only say their words.
SIGNS = {
    "gap beyond the guardrail for certain": "missed",
    "gap beyond the guardrail, but not for certain": "ticket",
    "worse than": "ticket",
    "scores are off": "ticket",
    "nothing": "well",
}


def pages(database: Database, models: list[Model]) -> Iterator[Page]:
    """Give a page for each model; the lines of a window size are loaded when it is chosen."""
    # The board ranks whole tables: once for all models.
    boards = grouped(
        database.rows("""
            select *, model_version || ' ' || role as version
            from {public}.fairness_calibration_board
            order by model_name, board_rank
        """),
        "model_name",
    )
    for model in models:
        board = boards.get(model.name, [])
        for row in board:
            row["sign"] = sign(row["state"])
        curves = _curves(database, model)
        calibration = _calibration(database, model)
        gaps = _gaps(database, model)
        # A guardrail is of one window size: there is most to see.
        guarded = (row["window_size"] for row in gaps if row["guardrail"] is not None)
        sizes = windows_of(calibration + gaps, next(guarded, DEFAULT_WINDOW))
        files = {
            f"{model.folder}/groups/{size}.js": {
                "curves": of_window(curves, size),
                "calibration": of_window(calibration, size),
                "gaps": of_window(gaps, size),
            }
            for size in sizes
        }
        yield Page(
            f"{model.folder}/groups.html",
            f"Calibration and fairness of {model.name}",
            "groups.html",
            {
                "model": model,
                "windows": sizes,
                "board": board[:BOARD_ROWS],
                "board_rest": len(board[BOARD_ROWS:]),
                "groups": sorted({(r["key"], r["value"]) for r in curves} - {("all", "all")}),
                "calibration": [calibration_figures(row) for row in calibration],
                "is_classifier": not calibration or any(_is_judgeable(r) for r in calibration),
                "gaps": [gap_figures(row) for row in gaps],
                "attributes": sorted({row["key"] for row in gaps}),
                "gap_metrics": gap_metrics(gaps),
            },
            {
                "versions": model.versions,
                "windows": dict(zip(sizes, files, strict=True)),
            },
            files,
        )


def sign(state: str) -> str:
    """Give the sign of a state of the board."""
    return next((sign for words, sign in SIGNS.items() if state.startswith(words)), "unknown")


def gap_metrics(gaps: list[Row]) -> list[str]:
    """Give the metrics of gaps, the one to begin with first: one with a guardrail."""
    guarded = {row["metric"] for row in gaps if row["guardrail"] is not None}
    return sorted(
        {row["metric"] for row in gaps},
        key=lambda metric: (metric not in guarded, metric != DEFAULT_GAP, metric),
    )


def _is_judgeable(line: Row) -> bool:
    return any(status != "not_applicable" for status in line["status"])


def _curves(database: Database, model: Model) -> list[Row]:
    """Give reliability curves, each of the newest judged window of its version."""
    return database.rows(
        """
        with newest as (
            select *
            from {public}.reliability_curve
            where model_name = $name and label_view = 'as_known'
            qualify window_end = max(window_end) filter (where slice_key = 'all')
                over (partition by model_version, role, window_size)
        )

        select
            model_version || ' ' || role as version, window_size, slice_key as key,
            slice_value as value, any_value(window_start)::date as start,
            any_value(window_end)::date as end,
            list(score_lower order by bin) as score_lower,
            list(score_upper order by bin) as score_upper,
            list(mean_score order by bin) as score,
            list(positive_rate order by bin) as rate,
            list(positive_rate_lower order by bin) as lower,
            list(positive_rate_upper order by bin) as upper,
            list(labeled_count order by bin) as labels
        from newest
        group by all
        order by start, version
        """,
        name=model.name,
    )


def _calibration(database: Database, model: Model) -> list[Row]:
    return database.rows(
        """
        select
            model_version || ' ' || role as version, window_size,
            list(window_end::date order by window_end) as time,
            list(ece order by window_end) as ece,
            list(ece_noise_floor order by window_end) as floor,
            list(ece_lower order by window_end) as lower,
            list(ece_upper order by window_end) as upper,
            list(calibration_slope order by window_end) as slope,
            list(calibration_intercept order by window_end) as intercept,
            list(labeled_count order by window_end) as labels,
            list(data_status order by window_end) as status
        from {public}.calibration
        where model_name = $name and label_view = 'as_known' and slice_key = 'all'
        group by all
        order by min(window_end), version
        """,
        name=model.name,
    )


def _gaps(database: Database, model: Model) -> list[Row]:
    """Give gaps with the end of their interval that counts: of a ratio the upper one."""
    return database.rows(
        """
        select
            model_version || ' ' || role as version, window_size, slice_key as key, metric,
            max(guardrail) as guardrail,
            list(window_end::date order by window_end) as time,
            list(value order by window_end) as value,
            list(
                case when metric like '%_ratio' then value_upper else value_lower end
                order by window_end
            ) as bound,
            list(data_status order by window_end) as status,
            arg_max(lowest_group, window_end) filter (where value is not null) as lowest,
            arg_max(highest_group, window_end) filter (where value is not null) as highest,
            arg_max(group_count, window_end) filter (where value is not null) as groups,
            arg_max(is_breached, window_end) filter (where value is not null) as is_breached,
            count(*) filter (where is_breached) as breached
        from {public}.fairness
        where model_name = $name and label_view = 'as_known'
        group by all
        order by min(window_end), version, key, metric
        """,
        name=model.name,
    )


def calibration_figures(line: Row) -> Row:
    """Say the newest judged window of a line."""
    n = last_known(line["ece"])
    columns = ("time", "ece", "floor", "lower", "upper", "slope", "intercept", "labels")
    return {
        "version": line["version"],
        "window_size": line["window_size"],
        "n": n,
        "since": None if n == len(line["ece"]) - 1 else line["status"][-1],
    } | ({name: line[name][n] for name in columns} if n is not None else {})


def gap_figures(line: Row) -> Row:
    """Say the newest known gap of a line."""
    n = last_known(line["value"])
    return line | {
        "n": n,
        "since": None if n == len(line["value"]) - 1 else line["status"][-1],
        "time": None if n is None else line["time"][n],
        "value": None if n is None else line["value"][n],
        "bound": None if n is None else line["bound"][n],
    }
