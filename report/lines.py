"""Lines over time: rows of a query with a list for each of their columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from report.database import Row

DEFAULT_WINDOW = "7d"


def compact(value: Any) -> Any:
    """Round every float within to five digits: more cannot be seen in a chart."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, list):
        return [compact(item) for item in value]
    if isinstance(value, dict):
        return {name: compact(item) for name, item in value.items()}
    return value


def windows_of(rows: Iterable[Row], first: str = DEFAULT_WINDOW) -> list[str]:
    """Give the window sizes of rows, the one to begin with first, then by length."""
    sizes = {row["window_size"] for row in rows}
    return sorted(sizes, key=lambda size: (size != first, int(size.rstrip("dhm")), size))


def of_window(rows: Iterable[Row], size: str) -> list[Row]:
    """Give the rows of a window size, without naming it in each."""
    return [
        {name: compact(value) for name, value in row.items() if name != "window_size"}
        for row in rows
        if row["window_size"] == size
    ]


def last_known(values: list[float | None]) -> int | None:
    """Give the place of the last value that is known."""
    return next((n for n in reversed(range(len(values))) if values[n] is not None), None)
