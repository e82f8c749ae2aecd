"""Pages of HTML, with their data, in one folder that opens from disk."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import jinja2

from report.runbooks import runbook_link

HERE = Path(__file__).parent
# Nothing from elsewhere: scripts and styles are files beside the pages, charts draw themselves.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes
    ----------
    path : str
        Below the site, such as ``models/churn/service.html``.
    title : str
    template : str
        In ``templates``.
    context : dict
        For the template.
    data : dict
        For the charts, inside the page.
    files : dict of str to object
        What is loaded when it is asked for: by path below the site, ending in ``.js``.
    """

    path: str
    title: str
    template: str
    context: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)


def write_site(
    pages: Iterable[Page], folder: Path, *, common: dict[str, Any], say: Callable[[str], None]
) -> int:
    """Write all pages, in place of what was there.

    Parameters
    ----------
    pages : iterable of Page
    folder : Path
        Made anew beside, then exchanged: a reader never sees half a site.
    common : dict
        For every template.
    say : callable
        Told of each page.

    Returns
    -------
    int
        How many pages.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(HERE / "assets", new / "assets")
    count = 0
    for page in pages:
        say(page.path)
        path = new / page.path
        path.parent.mkdir(parents=True, exist_ok=True)
        text = environment.get_template(page.template).render(
            common
            | page.context
            | {
                "title": page.title,
                "policy": POLICY,
                "root": "../" * page.path.count("/"),
                "path": page.path,
                "data": as_json(page.data),
            }
        )
        path.write_text(text, encoding="utf-8")
        for name, content in page.files.items():
            target = new / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(
                f"report.receive({as_json(name)}, {as_json(content)});\n", encoding="utf-8"
            )
        count += 1
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return count


class Json(str):
    """Content that is JSON already, alone or as a value of an object."""


def as_json(content: Any) -> jinja2.utils.markupsafe.Markup:
    """Write JSON that can stand inside a script element: no `<`, no NaN, times in UTC."""
    text = _text(content)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return jinja2.utils.markupsafe.Markup(text)


def _text(content: Any) -> str:
    if isinstance(content, Json):
        return content
    if isinstance(content, dict) and any(isinstance(value, Json) for value in content.values()):
        return (
            "{" + ",".join(f"{_text(name)}:{_text(value)}" for name, value in content.items()) + "}"
        )
    return json.dumps(
        content, default=_plain, allow_nan=False, ensure_ascii=False, separators=(",", ":")
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def slug(name: str, taken: set[str]) -> str:
    """Name a folder after a model: of plain letters, and no other one's."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "model"
    found, number = plain, 1
    while found in taken:
        number += 1
        found = f"{plain}-{number}"
    taken.add(found)
    return found


def moment(value: datetime | None) -> str:
    """Write a time, UTC."""
    return "–" if value is None else f"{value:%Y-%m-%d %H:%M} UTC"


def day(value: datetime | date | None) -> str:
    """Write a date."""
    return "–" if value is None else f"{value:%Y-%m-%d}"


def number(value: float | None, form: str = ",.3g") -> str:
    """Write a number; an unknown one is a dash, not a 0."""
    if value is None:
        return "–"
    text = format(value, form)
    return f"{value:,.0f}" if "e+" in text else text


def share(value: float | None, digits: int = 1) -> str:
    """Write a share in percent."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


FILTERS = {
    "moment": moment,
    "day": day,
    "number": number,
    "share": share,
    "runbook_link": runbook_link,
}
