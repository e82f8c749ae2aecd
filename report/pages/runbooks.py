"""What to do: a page for each runbook."""

from __future__ import annotations

from collections.abc import Iterator

from report.database import Database
from report.models import Model
from report.runbooks import page_of, render, runbooks
from report.site import Page


def pages(_database: Database, _models: list[Model]) -> Iterator[Page]:
    """Give the pages of the runbooks in docs/runbooks."""
    for name, path in runbooks().items():
        title, content = render(path.read_text(encoding="utf-8"))
        yield Page(page_of(name), title, "runbook.html", {"content": content})
