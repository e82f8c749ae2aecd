"""Shadows and launches: the decision, its criteria, where two versions disagree; releases."""

from __future__ import annotations

from collections.abc import Iterator

from report.database import Database, Row
from report.models import Model
from report.site import Page

MOST_DISAGREEMENTS = 30


def pages(database: Database, models: list[Model]) -> Iterator[Page]:
    """Give a page for each model."""
    for model in models:
        decisions = database.rows(
            """
            select * from {public}.launch_decision
            where model_name = $name
            order by window_end, model_version, live_version
            """,
            name=model.name,
        )
        criteria = database.rows(
            """
            select * from {public}.launch_criteria
            where model_name = $name
            order by
                criterion in ('labeled_pairs', 'shadow_days', 'partner_rate'), criterion, slice_key,
                window_end
            """,
            name=model.name,
        )
        disagreements = database.rows(
            """
            select * from {public}.shadow_disagreements
            where model_name = $name and disagreement_rank <= $most
            order by model_version, live_version, disagreement_rank
            """,
            name=model.name,
            most=MOST_DISAGREEMENTS,
        )
        releases = database.rows(
            """
            select * from {public}.release_comparison
            where model_name = $name and slice_key = 'all'
                and coalesce(label_view, 'as_known') = 'as_known'
            order by released_at desc, window_start, length(window_size), window_size, metric
            """,
            name=model.name,
        )
        newest = [row for row in decisions if row["is_newest"]]
        comparisons = [
            {
                "decision": row,
                "key": f"{row['model_version']} for {row['live_version']}",
                "criteria": [one for one in criteria if is_of(one, row) and is_last(one, row)],
                "disagreements": [one for one in disagreements if is_of(one, row)],
                "first": first_of(decisions, row),
            }
            for row in newest
        ]
        yield Page(
            f"{model.folder}/launch.html",
            f"Shadow and launch of {model.name}",
            "launch.html",
            {"model": model, "comparisons": comparisons, "releases": by_release(releases)},
            {
                "looks": [
                    {
                        "key": f"{row['model_version']} for {row['live_version']}",
                        "criterion": label_of(row),
                        "time": row["window_end"],
                        "difference": row["difference"],
                        "lower": row["difference_lower"],
                        "upper": row["difference_upper"],
                        "margin": row["margin"],
                        "is_lower_worse": row["criterion"] in ("roc_auc", "accuracy"),
                    }
                    for row in criteria
                    if row["difference"] is not None and row["live_value"] is not None
                ]
            },
        )


def is_of(row: Row, decision: Row) -> bool:
    """Whether a row is of the comparison of a decision."""
    return all(row[name] == decision[name] for name in ("model_version", "live_version"))


def is_last(row: Row, decision: Row) -> bool:
    """Whether a criterion is of the look of a decision."""
    return row["window_end"] == decision["window_end"]


def first_of(decisions: list[Row], newest: Row) -> Row:
    """Give the first look since which the decision has been the same."""
    own = [row for row in decisions if is_of(row, newest)]
    found = newest
    for row in reversed(own):
        if row["decision"] != newest["decision"]:
            break
        found = row
    return found


def label_of(row: Row) -> str:
    """Name a criterion."""
    name = row["criterion"].replace("_", " ")
    return name if row["slice_key"] == "all" else f"{name} by {row['slice_key']}"


def by_release(rows: list[Row]) -> list[dict]:
    """Group the comparisons of releases: a table for each release and length of window."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        key = (row["released_at"], row["previous_version"], row["model_version"])
        groups.setdefault((*key, row["window_size"]), []).append(row)
    return [
        {"released_at": key[0], "previous": key[1], "version": key[2], "size": key[3], "rows": own}
        for key, own in groups.items()
    ]
