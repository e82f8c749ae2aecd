"""Markdown of texts that come from outside: names of slices, versions, upstreams, fields.

They must not make a table of their own, a link, or a script of the page that shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

LONGEST = 300
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "|": "&#124;"}
ESCAPED = "\\`*[]#~"
# Within a word it makes no emphasis.
LOOSE_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")


def plain(value: Any) -> str:
    """Write a value on one line, without what cannot be seen; nothing for None."""
    if value is None:
        return ""
    # Characters that end a line or cannot be seen would change what is around them.
    text = "".join(char if char.isprintable() else " " for char in str(value))
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def escape(value: Any) -> str:
    """Write a value so that Markdown shows it as it is, on one line; nothing for None."""
    text = plain(value)
    text = "".join(ENTITIES.get(char, f"\\{char}" if char in ESCAPED else char) for char in text)
    text = LOOSE_UNDERSCORE.sub(r"\\_", text)
    # An address would become a link.
    return text.replace("://", "&#58;//").replace("www.", "www&#46;")


def table(columns: list[str], rows: Iterable[Iterable[Any]]) -> str:
    """Make a table; columns that end with # are numbers."""
    head = "| " + " | ".join(column.rstrip("#") for column in columns) + " |"
    rule = "|" + "|".join("---:" if column.endswith("#") else "---" for column in columns) + "|"
    body = ["| " + " | ".join(escape(cell) for cell in row) + " |" for row in rows]
    return "\n".join([head, rule, *body])
