"""docs/questions.md: each public table has a query, and each query its answer in the demo.

That the queries run is tested where a warehouse is built, in tests/integration/test_slos.py.
"""

import re
from pathlib import Path

from tests.documents import QUESTIONS, queries

MARTS = Path(__file__).parents[2] / "models" / "marts"


def test_each_public_table_answers_a_question():
    asked = {
        table
        for query in queries(QUESTIONS.read_text())
        for table in re.findall(r"\b(?:from|join) ml_monitoring\.(\w+)", query)
    }
    public = {path.stem for pattern in ("*.sql", "*.py") for path in MARTS.rglob(pattern)}
    # The table of the published file that no model makes.
    public |= {"published_build"}
    assert asked == public, (
        f"docs/questions.md: add a question with its SQL and the demo's answer for"
        f" {sorted(public - asked)}; take out those of {sorted(asked - public)}"
    )


def test_each_query_has_its_answer_below_it():
    found = queries(QUESTIONS.read_text())
    without = [query for query in found if not re.search(r"\n-- \S.*\n$", query)]
    assert without == []
    questions = re.findall(r"\S\n\n```sql\n", QUESTIONS.read_text())
    assert len(questions) == len(found)
