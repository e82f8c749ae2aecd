"""Which models there are, and what their pages are called."""

from __future__ import annotations

from dataclasses import dataclass

from report.database import Database
from report.site import slug


@dataclass(frozen=True)
class Model:
    """A model with its versions.

    Attributes
    ----------
    name : str
    folder : str
        Of its pages, below the site.
    versions : list of str
        By their first request, as ``version role``.
    live_version : str or None
        The live version that answered last.
    """

    name: str
    folder: str
    versions: list[str]
    live_version: str | None


def read_models(database: Database) -> list[Model]:
    """Give the models that have had requests, by name."""
    rows = database.rows("""
        select
            model_name, model_version, role, min(window_start) as first_day,
            max(window_end) as last_day
        from {public}.service_levels
        where slice_key = 'all' and window_size = '1d'
        group by all
        order by model_name, first_day, model_version, role
    """)
    taken: set[str] = set()
    models = []
    for name in sorted({row["model_name"] for row in rows}):
        own = [row for row in rows if row["model_name"] == name]
        live = [row for row in own if row["role"] == "live"]
        newest = max(live, key=lambda row: (row["last_day"], row["first_day"]), default=None)
        models.append(
            Model(
                name,
                f"models/{slug(name, taken)}",
                [f"{row['model_version']} {row['role']}" for row in own],
                newest and newest["model_version"],
            )
        )
    return models
