"""The runbooks and other documents with queries, for the tests of their form and queries."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
INDEX = DOCS / "runbooks" / "README.md"
RUNBOOKS = sorted(path for path in (DOCS / "runbooks").glob("*.md") if path != INDEX)
TEMPLATE = DOCS / "rca_template.md"
QUESTIONS = DOCS / "questions.md"


def sections(text: str) -> list[tuple[str, str]]:
    """Give the title and the text of each section of the second level, in order."""
    parts = re.split(r"^## (.+)$", without_code(text), flags=re.MULTILINE)[1:]
    return [(title, body.strip()) for title, body in zip(parts[::2], parts[1::2], strict=True)]


def without_code(text: str) -> str:
    """Leave a mark in place of each code block, so that nothing in it looks like Markdown."""
    return re.sub(r"^```(\w*)\n.*?^```$", r"(code: \1)", text, flags=re.MULTILINE | re.DOTALL)


def queries(text: str) -> list[str]:
    """Give the SQL blocks, in order."""
    return re.findall(r"^```sql\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def links(text: str) -> list[str]:
    """Give the targets of all links to other files, without the place in them."""
    found = re.findall(r"\]\(([^)]+)\)", without_code(text))
    return [link.partition("#")[0] for link in found if not link.startswith(("http", "#"))]
