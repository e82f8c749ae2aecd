"""Runbooks: Markdown of docs/runbooks as HTML, and the links that lead there."""

from __future__ import annotations

import posixpath
from functools import cache
from pathlib import Path
from urllib.parse import quote

from jinja2.utils import markupsafe
from markdown_it import MarkdownIt
from markdown_it.token import Token

# As the seeds name them: from the root of the project.
FOLDER = "docs/runbooks"
ROOT = Path(__file__).parents[1]


@cache
def runbooks() -> dict[str, Path]:
    """Give the runbooks by the path that seeds name, such as ``docs/runbooks/latency.md``."""
    return {f"{FOLDER}/{path.name}": path for path in sorted((ROOT / FOLDER).glob("*.md"))}


def page_of(runbook: str) -> str | None:
    """Give the path of a runbook's page below the site, or None if it has none."""
    path = runbooks().get(runbook)
    return path and f"runbooks/{quote(path.stem)}.html"


def runbook_link(runbook: str | None, root: str) -> markupsafe.Markup:
    """Link to a runbook: a filter, ``{{ alert.runbook | runbook_link(root) }}``.

    Parameters
    ----------
    runbook : str or None
        What a seed names. One of docs/runbooks has a page in the site; an address is linked to as
        it is; anything else is text.
    root : str
        The way up from the page to the site, as templates have it.
    """
    if not runbook:
        return markupsafe.Markup("–")
    page = page_of(runbook)
    if page:
        return markupsafe.Markup('<a href="{}{}"><bdi>{}</bdi></a>').format(
            root, page, Path(runbook).stem
        )
    if runbook.startswith(("https://", "http://")):
        return markupsafe.Markup('<a href="{0}"><bdi>{0}</bdi></a>').format(runbook)
    return markupsafe.Markup("<bdi>{}</bdi>").format(runbook)


def render(text: str) -> tuple[str, markupsafe.Markup]:
    """Give the title and the HTML of a runbook; HTML inside it is shown as text."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    # Wide tables scroll by themselves, not the page.
    markdown.add_render_rule("table_open", lambda *_: '<div class="scroll"><table>\n')
    markdown.add_render_rule("table_close", lambda *_: "</table></div>\n")
    tokens = markdown.parse(text)
    title = "Runbook"
    if tokens and tokens[0].tag == "h1":
        # The page has the title as its own heading.
        title, tokens = tokens[1].content, tokens[3:]
    for token in tokens:
        _lead_links(token.children or [])
    return title, markupsafe.Markup(markdown.renderer.render(tokens, markdown.options, {}))


def _lead_links(tokens: list[Token]) -> None:
    """Lead links to the pages of the site; what is not in it is named, not linked."""
    elsewhere = None
    for token in tokens:
        if token.type == "link_open":
            href = str(token.attrGet("href"))
            target, _, anchor = href.partition("#")
            path = posixpath.normpath(posixpath.join(FOLDER, target))
            page = page_of(path)
            if page:
                token.attrSet("href", posixpath.basename(page) + (anchor and f"#{anchor}"))
            elif "://" not in href:
                elsewhere = path
                token.type, token.tag, token.nesting = "text", "", 0
        elif token.type == "link_close" and elsewhere:
            token.type, token.tag, token.nesting = "text", "", 0
            token.content, elsewhere = f" ({elsewhere})", None
