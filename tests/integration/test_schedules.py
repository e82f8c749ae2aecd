"""Whatever happens to the landing files, step by step gives the tables of a build from nothing."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tests.integration.schedules import (
    ACTIONS,
    ARRIVALS,
    PUBLIC,
    advance,
    build_at_once,
    differences,
    prepare,
    snapshot,
)

seeds = st.integers(0, 2**32 - 1)
arrivals = st.tuples(st.sampled_from(ARRIVALS), seeds)
anything = st.tuples(st.sampled_from(ACTIONS), seeds)
threads = st.sampled_from([1, 2, 4])
steps = st.tuples(st.lists(anything, min_size=2, max_size=6), st.integers(1, 60), threads)


@st.composite
def schedules(draw):
    """Some traffic with labels, then two or three steps of trouble."""
    first = [("send", draw(seeds)), ("label_some", draw(seeds)), draw(arrivals)]
    return [
        (first, draw(st.integers(1, 40)), draw(threads)),
        *draw(st.lists(steps, min_size=2, max_size=3)),
    ]


def test_any_schedule_equals_at_once(schedule_count):
    compared = []

    # A build takes seconds: a failing schedule is printed as it is, not made small.
    @settings(
        max_examples=schedule_count,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(schedules(), threads)
    def check(schedule, threads_at_once):
        note(f"schedule = {schedule}")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            landing = prepare(folder)
            for actions, hours, threads in schedule:
                advance(landing, actions, hours)
                run = landing.warehouse.dbt("run", "--threads", str(threads))
                assert run.exit_code == 0, run.end
            found = snapshot(landing.warehouse)
            fresh = build_at_once(landing.warehouse, folder / "at_once", threads_at_once)
            expected = snapshot(fresh)
            differing = [table for table in PUBLIC if found[table] != expected[table]]
            assert not differing, differences(differing, found, expected)
            compared.append(sum(map(len, found.values())))

    check()
    print(f"\n{len(compared)} schedules, {sum(compared)} rows of public tables compared")
    assert len(compared) >= schedule_count
    assert max(compared) > 500
