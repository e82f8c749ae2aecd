"""Runbooks: one for each alert, all in the same form, all to be found. Their queries run in
tests/integration/test_slos.py.
"""

import csv
import re
from itertools import chain

import pytest

from tests.documents import DOCS, INDEX, RUNBOOKS, TEMPLATE, links, queries, sections, without_code

ROOT = DOCS.parent
SECTIONS = ["What it means", "The first five minutes", "Queries", "How to decide", "How to end"]
PARTS = ["Summary", "Impact", "Timeline", "Detection", "Root cause",
         "What went well, what went badly", "Actions"]  # fmt: skip
ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"]


def named_by(seed):
    """Give the runbook of each alert of a seed; conditions of one alert share it."""
    with (ROOT / "seeds" / f"{seed}.csv").open() as file:
        rows = list(csv.DictReader(file))
    name = "slo_name" if seed == "slo_targets" else "alert_name"
    found = {row[name]: "" for row in rows}
    found.update({row[name]: row["runbook"] for row in rows if row["runbook"]})
    return found


NAMED = named_by("slo_targets") | named_by("alert_rules")


def ids(paths):
    return [path.stem for path in paths]


@pytest.mark.parametrize(("alert", "runbook"), NAMED.items())
def test_every_alert_names_a_runbook(alert, runbook):
    assert ROOT / runbook in RUNBOOKS, f"{alert}: {runbook!r} is no page of docs/runbooks"


@pytest.mark.parametrize("path", RUNBOOKS, ids=ids(RUNBOOKS))
def test_sections_are_in_order_and_none_is_empty(path):
    found = sections(path.read_text())
    assert [title for title, _ in found] == SECTIONS
    assert [title for title, body in found if not body] == []


@pytest.mark.parametrize("path", RUNBOOKS, ids=ids(RUNBOOKS))
def test_each_section_has_what_helps(path):
    text = path.read_text()
    body = dict(sections(text))
    assert re.fullmatch(r"# [^\n]+", text.splitlines()[0])
    assert re.findall(r"^(\d)\. ", body["The first five minutes"], re.MULTILINE)[:3] == list("123")
    assert len(queries(text)) == body["Queries"].count("(code: sql)") >= 3
    assert len(re.findall(r"^\|", body["How to decide"], re.MULTILINE)) >= 5


@pytest.mark.parametrize("path", RUNBOOKS, ids=ids(RUNBOOKS))
def test_first_query_is_of_the_alerts(path):
    first = queries(path.read_text())[0]
    assert "ml_monitoring.alerts" in first and "ml_monitoring.alert_lines" in first


@pytest.mark.parametrize("path", RUNBOOKS, ids=ids(RUNBOOKS))
def test_text_speaks_of_queries_that_are_there(path):
    text = without_code(path.read_text())
    count = text.count("(code: ")
    spoken = re.findall(rf"({'|'.join(ORDINALS)})(?:(?: and | or )(\w+))? query", text)
    numbers = [ORDINALS.index(word) + 1 for word in chain(*spoken) if word in ORDINALS]
    assert all(number <= count for number in numbers), (numbers, count)


@pytest.mark.parametrize(
    "path", [*RUNBOOKS, INDEX, TEMPLATE], ids=ids([*RUNBOOKS, INDEX, TEMPLATE])
)
def test_links_lead_somewhere(path):
    for link in links(path.read_text()):
        assert (path.parent / link).exists(), link


def test_every_page_is_in_the_index():
    assert set(links(INDEX.read_text())) >= {path.name for path in RUNBOOKS}


def test_every_page_is_of_an_alert_or_general():
    general = links(dict(sections(INDEX.read_text()))["General"])
    named = {runbook.removeprefix("docs/runbooks/") for runbook in NAMED.values()}
    assert {path.name for path in RUNBOOKS} - named - set(general) == set()


def test_pairs_of_windows_are_those_that_fire():
    """The table of burn rates says what macros/alerting/burn_rates.sql does."""
    macro = (ROOT / "macros" / "alerting" / "burn_rates.sql").read_text()
    pairs = re.findall(
        r"'long': '(\w+)', 'short': '(\w+)', 'factor': ([\d.]+), 'severity': '(\w+)'", macro
    )
    table = (DOCS / "runbooks" / "error_budget.md").read_text()
    rows = re.findall(
        r"^\| `_burn_(\w+)`.*? \| (\w+) and (\w+) \| ([\d.]+) \| [^|]+ \| (\d+) % \| (\w+) \|",
        table, re.MULTILINE,
    )  # fmt: skip
    assert len(pairs) == 5
    assert [(row[1], row[2], row[3], row[5]) for row in rows] == pairs
    assert [row[0] for row in rows] == [pair[0] for pair in pairs]
    # What a window spends: its part of the 28 days, at that rate.
    hours = [int(long[:-1]) * {"h": 1, "d": 24}[long[-1]] for long, *_ in pairs]
    spent = [
        100 * float(pair[2]) * length / (28 * 24) for pair, length in zip(pairs, hours, strict=True)
    ]
    assert [int(row[4]) for row in rows] == [round(share) for share in spent]


def test_template_has_its_parts_twice():
    """Once to be filled in, once filled in."""
    template, example = TEMPLATE.read_text().split("\n# A filled example", 1)
    for text in (template, example):
        found = sections(text)
        assert [title for title, _ in found] == PARTS
        assert [title for title, body in found if not body] == []
    assert len(queries(template)) >= 8
    # Each action has an owner and a date.
    actions = re.findall(r"^\|(.+)\|$", dict(sections(example))["Actions"], re.MULTILINE)[2:]
    assert actions and all(cell.strip() for action in actions for cell in action.split("|"))


def test_queries_of_the_template_share_their_incident():
    """Whoever copies it replaces the same three values everywhere."""
    template = TEMPLATE.read_text().split("\n# A filled example", 1)[0]
    heads = {query.split("\n)", 1)[0] for query in queries(template)}
    assert len(heads) == 1 and "incident as (" in heads.pop()
