"""What is published, and what runs of a part of the project publish."""

from published_relations import Plan, Project, plan


def node(schema, kind, *parents, **meta):
    return {
        "resource_type": "model",
        "schema": schema,
        "config": {"materialized": kind, "meta": meta},
        "depends_on": {"nodes": list(parents)},
    }


def project(**changes):
    nodes = {
        "raw": node("m_restricted", "table"),
        "clock": node("m_internal", "table"),
        "minutes": node("m_internal", "incremental", "raw", "clock", unit=["hour", "revision"]),
        "days": node("m_internal", "incremental", "raw", "clock", unit=["day", "revision"]),
        "by_minute": node("m", "view", "minutes"),
        "joined": node("m_internal", "view", "days", "clock"),
        "by_day": node("m", "view", "joined"),
        "long": node("m", "view", "by_day"),
    } | changes
    return Project({key: value | {"alias": key} for key, value in nodes.items()}, "m")


def statuses(*keys, status="success"):
    return dict.fromkeys(keys, status)


ALL = statuses("raw", "clock", "minutes", "days", "by_minute", "joined", "by_day", "long")
HELD = {
    ("m_internal", "minutes"), ("m_internal", "days"), ("m_internal", "clock"),
    ("m_internal", "joined"), ("m", "by_minute"), ("m", "by_day"), ("m", "long"),
}  # fmt: skip
MINUTES = statuses("raw", "clock", "minutes", "by_minute")


def test_readers_come_after_what_they_read_and_tables_end_the_search():
    assert project().reads(["long", "by_minute"]) == [
        "days", "clock", "joined", "by_day", "long", "minutes", "by_minute",
    ]  # fmt: skip
    assert project().mistakes() == []


def test_a_whole_run_publishes_all():
    found = plan(project(), ALL, HELD)
    assert (found.fresh, found.kept, found.problem) == (["by_day", "by_minute", "long"], [], None)
    assert found.is_whole and found.moved == ALL.keys() - {"raw"}


def test_models_of_another_project_are_inputs():
    """Those that this project is a package of: they need not be built in the run."""
    other = {"package_name": "shop"}
    found = project(
        predictions=node("shop", "table") | other,
        raw=node("m_restricted", "table", "predictions"),
        theirs=node("m", "view", "predictions") | other,
    )
    assert plan(found, ALL, HELD).fresh == ["by_day", "by_minute", "long"]


def test_a_run_that_failed_publishes_nothing():
    for status in ("error", "skipped"):
        found = plan(project(), ALL | statuses("days", status=status), HELD)
        assert not found.fresh and "did not get through" in found.problem


def test_a_part_is_published_if_it_is_complete():
    found = plan(project(), MINUTES, HELD)
    assert found == Plan(
        ["by_minute"], ["by_day", "long"], moved=frozenset(["minutes", "by_minute"])
    )
    for missing in ("raw", "clock", "minutes"):
        run = {key: status for key, status in MINUTES.items() if key != missing}
        found = plan(project(), run, HELD)
        assert not found.fresh and "together with all that it is made from" in found.problem
    assert plan(project(), statuses("days"), HELD).problem is None
    assert not plan(project(), statuses("days"), HELD).fresh
    assert not plan(project(), {}, HELD).fresh
    # At first there is nothing that it could mix with.
    assert plan(project(), MINUTES, set()).fresh == ["by_minute"]
    assert plan(project(), MINUTES, set()).problem is None


def test_what_is_made_apart_is_published_beside_the_tables_of_the_last_whole_build():
    apart = {
        "lines": node("m_restricted", "table", "clock"),
        "streamed": node("m_internal", "table", "lines"),
        "by_minute": node("m", "view", "minutes", "clock", "streamed"),
        "long": node("m", "view", "minutes", "by_day"),
    }
    for name in ("lines", "streamed", "by_minute"):
        apart[name]["tags"] = ["streaming"]
    held = HELD | {("m_internal", "streamed")}
    run = statuses("lines", "streamed", "by_minute")
    found = plan(project(**apart), run, held)
    assert (found.fresh, found.kept, found.problem) == (["by_minute"], ["by_day", "long"], None)
    assert found.moved == {"streamed", "by_minute"}
    assert "no build has published yet" in plan(project(**apart), run, set()).problem
    assert not plan(project(**apart), statuses("streamed", "by_minute"), held).fresh
    # With it a table that others read was made: they would be of two builds.
    assert "reads `clock`" in plan(project(**apart), run | statuses("clock"), held).problem


def test_what_others_read_does_not_move_under_them():
    changed = project(by_minute=node("m", "view", "minutes", "clock"))
    assert "`by_day`, which was not built, reads `clock`" in plan(changed, MINUTES, HELD).problem
    changed = project(long=node("m", "view", "by_minute", "by_day"))
    assert "`long`, which was not built, reads `minutes`" in plan(changed, MINUTES, HELD).problem


def test_a_part_of_a_project_that_has_changed_waits_for_the_whole():
    for held in (HELD - {("m_internal", "days")}, HELD | {("m_internal", "weeks")}):
        assert "the project has changed since" in plan(project(), MINUTES, held).problem


def test_what_cannot_be_published_is_named():
    for changes, words in [
        ({"by_day": node("m", "view", "raw")}, "`by_day` reads `raw`, which is restricted"),
        ({"days": node("m_internal", "incremental", "raw")}, "`days` is incremental"),
        ({"by_day": node("m", "view", "days", is_published=False)}, "`is_published: false`"),
        ({"joined": node("m_internal", "view", "source.m.own.t")}, "the source `own.t`"),
    ]:
        assert any(words in mistake for mistake in project(**changes).mistakes())
    small = project(days=node("m_internal", "incremental", "raw", unit=[]))
    hidden = node("m", "view", "raw", is_published=False)
    assert small.mistakes() == project(hidden=hidden).mistakes() == []
