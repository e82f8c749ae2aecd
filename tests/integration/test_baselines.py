"""A frozen baseline is an input: nothing that arrives later moves it, nor does a full refresh."""

import copy
import random
from datetime import datetime, timedelta

import pytest

from tests.integration.warehouse import MODEL, Warehouse, event

DRIFT = """
    select model_version, slice_key, slice_value, window_end, feature, baseline_version,
        baseline_count, current_count, psi, ks_statistic, data_status
    from ml_monitoring.feature_drift
    where comparison = 'baseline' and window_size = '1d'
    order by all
"""
BASELINES = """
    select model_version, kind, baseline_start::date::varchar, baseline_end::date::varchar,
        frozen_at::varchar, prediction_count, late_count, is_in_force
    from ml_monitoring.baselines order by all
"""


def day_of(rng, day, count, prefix, *, age=40, **fields):
    start = datetime.fromisoformat(day)
    return [
        event(
            f"{prefix}{number}",
            ts=(start + timedelta(seconds=rng.uniform(0, 86400))).isoformat() + "Z",
            score=rng.random(),
            features={"age": rng.gauss(age, 10), "plan": rng.choice(["basic", "pro"])},
            **fields,
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """Builds of one warehouse, and what the tables of drift held after each."""
    rng = random.Random(8)
    model = copy.deepcopy(MODEL) | {"baseline": {"days": 2}, "slices": ["plan"]}
    warehouse = Warehouse(
        tmp_path_factory.mktemp("baselines"),
        {
            "monitored_models": [model],
            "drift_windows_days": [1],
            "drift_bins": 50,
            "version_baseline_days": 1,
        },
    )
    found = {}

    def step(name, as_of, *arguments):
        build = warehouse.dbt("run", *arguments, as_of=as_of)
        assert build.exit_code == 0, build.end
        found[name] = {"drift": warehouse.query(DRIFT), "baselines": warehouse.query(BASELINES)}

    warehouse.write("inference_events/10.jsonl", day_of(rng, "2024-01-10", 300, "a"))
    step("first day", "2024-01-11")
    warehouse.write("inference_events/11.jsonl", day_of(rng, "2024-01-11", 300, "b"))
    step("grace", "2024-01-12T23:00:00Z")
    warehouse.write("inference_events/12.jsonl", day_of(rng, "2024-01-12", 300, "c", age=55))
    step("frozen", "2024-01-13")
    # Late events of the baseline, of another kind, and one from before its first day.
    late = day_of(rng, "2024-01-11", 400, "late", age=90) + day_of(rng, "2024-01-09", 60, "old")
    warehouse.write("inference_events/late.jsonl", late)
    step("late", "2024-01-13")
    step("refreshed", "2024-01-13", "--full-refresh")
    new = day_of(rng, "2024-01-13", 300, "d", model_version="v2")
    warehouse.write("inference_events/13.jsonl", new)
    step("release", "2024-01-15")
    warehouse.vars["monitored_models"] = [model | {"baseline": {"days": 1}}]
    step("redefined", "2024-01-15")
    warehouse.vars["monitored_models"] = [model | {"baseline": {"days": 2, "revision": 2}}]
    step("taken again", "2024-01-15")
    warehouse.vars["monitored_models"] = [model]
    step("as before", "2024-01-15")
    test = warehouse.dbt("test", "--select", "baselines_that_missed_predictions")
    found["as before"]["warning"] = test.output
    return found


def rows(step, **wanted):
    names = ("model_version", "slice_key", "slice_value", "window_end", "feature")
    return [
        row for row in step["drift"]
        if all(str(row[names.index(name)]) == value for name, value in wanted.items())
    ]  # fmt: skip


def test_baseline_is_provisional_until_its_grace_is_over(history):
    periods = [(row[0], row[4], row[5]) for row in history["first day"]["baselines"]]
    assert periods == [("all", None, 300), ("v1", None, 300)]
    periods = [(row[0], row[4], row[5]) for row in history["grace"]["baselines"]]
    assert periods == [("all", None, 600), ("v1", None, 600)]
    assert rows(history["first day"], slice_key="all", feature="age")[0][6] == 300
    assert rows(history["grace"], slice_key="all", feature="age")[0][6] == 600


def test_baseline_freezes_with_fixed_dates(history):
    assert history["frozen"]["baselines"] == [
        (name, kind, "2024-01-10", "2024-01-12", "2024-01-13 00:00:00", 600, 0, True)
        for name, kind in (("all", "features"), ("v1", "score"))
    ]
    (moved,) = rows(
        history["frozen"], slice_key="all", feature="age", window_end="2024-01-13 00:00:00"
    )
    assert moved[8] > 0.25


def test_late_events_are_counted_and_do_not_move_it(history):
    frozen, late = history["frozen"], history["late"]
    # The period keeps its dates: the day before its start is none of its own.
    assert [row[:6] for row in late["baselines"]] == [row[:6] for row in frozen["baselines"]]
    assert [row[6] for row in late["baselines"]] == [400, 400]
    for feature in ("age", "plan", "score"):
        before = rows(frozen, feature=feature, window_end="2024-01-13 00:00:00")
        assert before == rows(late, feature=feature, window_end="2024-01-13 00:00:00")
    # The day that they are of has moved: what was the baseline is now a drifted window.
    (day,) = rows(late, slice_key="all", feature="age", window_end="2024-01-12 00:00:00")
    assert (day[6], day[7]) == (600, 700) and day[8] > 0.25


def test_full_refresh_keeps_it(history):
    assert history["refreshed"]["drift"] == history["late"]["drift"]
    assert history["refreshed"]["baselines"] == history["late"]["baselines"]


def test_later_version_has_a_baseline_of_its_scores(history):
    periods = {row[0]: row for row in history["release"]["baselines"]}
    assert periods["v2"][1:6] == ("score", "2024-01-13", "2024-01-14", "2024-01-15 00:00:00", 300)
    (score,) = rows(history["release"], model_version="v2", slice_key="all", feature="score")
    assert score[6:8] == (300, 300) and score[8] == 0
    (age,) = rows(history["release"], model_version="v2", slice_key="all", feature="age")
    assert age[6:8] == (600, 300) and age[8] > 0


def test_another_definition_is_another_version(history):
    release, redefined = history["release"], history["redefined"]
    assert [row[-1] for row in redefined["baselines"]].count(True) == 3
    old = {row[5] for row in release["drift"]}
    new = {row[5] for row in redefined["drift"]}
    assert len(old) == len(new) == 1 and old != new
    # The earliest day known now is the first of the new one.
    starts = {row[2] for row in redefined["baselines"] if row[-1] and row[0] == "all"}
    assert starts == {"2024-01-09"}
    # What was frozen under the old definition is still there.
    assert history["as before"]["drift"] == release["drift"]


def test_a_revision_takes_the_same_days_again_with_what_came_late(history):
    again = history["taken again"]
    in_force = {row[0]: row[1:-1] for row in again["baselines"] if row[-1]}
    assert in_force["all"] == (
        "features",
        "2024-01-09",
        "2024-01-11",
        "2024-01-15 00:00:00",
        360,
        0,
    )
    versions = {row[5] for row in again["drift"]}
    assert len(versions) == 1
    assert not versions & {
        row[5] for name in ("release", "redefined") for row in history[name]["drift"]
    }
    # Nothing of the first time is lost, and none of it is in force.
    assert [row[-1] for row in again["baselines"]].count(True) == 3
    assert {row[:-1] for row in history["release"]["baselines"]} <= {
        row[:-1] for row in again["baselines"]
    }


def test_build_warns_of_what_it_missed(history):
    assert "Got 2 results" in history["as before"]["warning"]
    assert "WARN" in history["as before"]["warning"]


def test_events_that_still_move_a_baseline_move_windows_of_several_versions(tmp_path):
    """What two versions have in common must not take itself out of a window's revision."""
    rng = random.Random(21)
    model = copy.deepcopy(MODEL) | {
        "baseline": {"start": "2024-01-10", "end": "2024-01-11"},
        "slices": [],
    }
    settings = {"monitored_models": [model], "drift_windows_days": [1]}

    def from_all(day, count, prefix, **fields):
        return [
            line | fields
            for version in ("v1", "v2")
            for role in ("live", "shadow")
            for line in day_of(
                rng, day, count, prefix + version + role, model_version=version, role=role
            )
        ]

    warehouse = Warehouse(tmp_path / "steps", settings)
    warehouse.write("inference_events/10.jsonl", from_all("2024-01-10", 60, "a"))
    warehouse.write("inference_events/06.jsonl", from_all("2024-01-06", 60, "b"))
    assert warehouse.dbt("run", as_of="2024-01-11").exit_code == 0
    before = warehouse.query(DRIFT)
    # The grace is not over. Without values, so that the bins stay as they are.
    late = from_all("2024-01-10", 1, "late", features={}, score=None)
    warehouse.write("inference_events/late.jsonl", late)
    assert warehouse.dbt("run", as_of="2024-01-11").exit_code == 0
    found = warehouse.query(DRIFT)
    assert found != before
    at_once = Warehouse(tmp_path / "at_once", settings | {"landing_path": str(warehouse.landing)})
    assert at_once.dbt("run", as_of="2024-01-11").exit_code == 0
    assert found == at_once.query(DRIFT)
