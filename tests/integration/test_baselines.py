"""A frozen baseline is an input: nothing that arrives later moves it, nor does a full refresh."""

import copy
import math
import random
from datetime import date, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
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


TRAINED_DRIFT = """
    select * exclude (model_name, baseline_version)
    from ml_monitoring.feature_drift where model_name = '{}'
    order by all
"""
BASELINE_DAYS = """
    select event_date, feature, feature_type, slice_key, slice_value, prediction_count, null_count,
        bin_counts::varchar, value_min, value_max, infinite_count
    from ml_monitoring_internal.int_baseline_days where model_name = '{}'
    order by all
"""
MODELS = ("churn", "trained", "undated")
RUN = ("run", "--select", "+feature_drift", "+feature_distributions", "+baselines")
CELLS = """
    select * exclude (model_name, baseline_version)
    from ml_monitoring.feature_distributions where model_name = '{}'
    order by all
"""


def training_set(lines, **more):
    """Take predictions as a training set: features, scores, attributes and times."""
    columns = {
        name: [line["features"].get(name) for line in lines] for name in ("age", "plan", "is_new")
    }
    columns["score"] = [line["score"] for line in lines]
    columns["country"] = [line["attributes"].get("country") for line in lines]
    columns["ts"] = [line["ts"] for line in lines]
    return pa.table(columns | more)


def people(rng, day, count, prefix, *, age=40.0, **fields):
    start = datetime.fromisoformat(day)
    return [
        event(
            f"{prefix}{number}",
            ts=(start + timedelta(seconds=rng.uniform(0, 86400))).isoformat() + "Z",
            score=rng.choice([rng.random(), 0.0, 1.0, None]),
            features={
                "age": rng.choice([rng.gauss(age, 10), 20, None]),
                "plan": rng.choice(["basic", "pro", "o'r", "", None]),
                "is_new": rng.choice([True, False, None]),
            },
            attributes={"country": rng.choice(["de", "fr", None])},
            **fields,
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model with a baseline of days, and one of a training set that holds the same."""
    rng = random.Random(31)
    folder = tmp_path_factory.mktemp("trained")
    path = folder / "it's a set.parquet"
    dated = copy.deepcopy(MODEL) | {"baseline": {"start": "2024-01-10", "end": "2024-01-12"}}
    given = copy.deepcopy(MODEL) | {"name": "trained", "baseline": {"path": str(path)}}
    # Without days of its own: what it cannot tell is how these differ.
    undated = dated | {"name": "undated", "baseline": {"relation": "own.training"}}
    warehouse = Warehouse(
        folder / "steps",
        {
            "monitored_models": [dated, given, undated],
            "drift_windows_days": [1, 2],
            "drift_bins": 20,
            "version_baseline_days": 1,
        },
    )
    found = {}

    def step(name, as_of="2024-01-15", *arguments, of=warehouse):
        build = of.dbt(*RUN, *arguments, as_of=as_of)
        assert build.exit_code == 0, build.end
        found[name] = {
            "baselines": of.query("select * from ml_monitoring.baselines order by all"),
        } | {
            model: of.query(TRAINED_DRIFT.format(model)) + of.query(CELLS.format(model))
            for model in MODELS
        } | {
            "baseline days " + model: of.query(BASELINE_DAYS.format(model))
            for model in MODELS
        }  # fmt: skip

    def write(name, lines):
        records = [line | {"model": model} for model in MODELS for line in lines]
        warehouse.write(f"inference_events/{name}.jsonl", records)

    days = people(rng, "2024-01-10", 300, "a") + people(rng, "2024-01-11", 300, "b")
    original = training_set(days)
    warehouse.copy_in("own.training", original.drop(["ts"]))
    pq.write_table(original, path)
    write("10", days)
    write("12", people(rng, "2024-01-12", 300, "c", age=55))
    step("read", "2024-01-13")
    write("13", people(rng, "2024-01-13", 300, "d", model_version="v2"))
    pq.write_table(training_set(people(rng, "2024-01-01", 200, "other", age=90)), path)
    step("replaced")
    step("refreshed", "2024-01-15", "--full-refresh")
    again = given | {"baseline": {"path": str(path), "revision": 2}}
    warehouse.vars["monitored_models"] = [dated, again, undated]
    step("taken again")
    path.unlink()
    warehouse.vars["monitored_models"] = [dated, given, undated]
    step("gone")
    # A slice that is new needs the set once more; its features stay as they are.
    sliced = given | {"slices": [*MODEL["slices"], {"name": "age", "breaks": [30]}]}
    warehouse.vars["monitored_models"] = [dated, sliced, undated]
    found["new slice"] = warehouse.dbt(*RUN, as_of="2024-01-15")
    warehouse.vars["monitored_models"] = [dated, given, undated]
    pq.write_table(original, path)
    at_once = Warehouse(folder / "at_once", warehouse.vars | {"as_of": "2024-01-15"})
    at_once.copy_in("own.training", original.drop(["ts"]))
    step("at once", of=at_once)
    return found


def test_a_training_set_equals_the_days_that_it_was_taken_from(trained):
    """Bit by bit, features in all versions, scores in the version of these days."""
    for name in ("read", "replaced"):
        # The version that came later has its own scores for a baseline, or those of the set.
        kept = {
            model: [
                row for row in trained[name][model]
                if row[0] == "v1" or not {"score", "prediction"} & set(row[6:9])
            ]
            for model in MODELS
        }  # fmt: skip
        assert len(kept["churn"]) > 200
        assert kept["churn"] == kept["trained"] == kept["undated"]
    assert trained["replaced"]["churn"] != trained["replaced"]["trained"]
    days = {model: trained["read"]["baseline days " + model] for model in MODELS}
    assert {row[0] for row in days["churn"]} == {date(2024, 1, 10), date(2024, 1, 11)}
    assert days["trained"] == days["churn"]
    assert {row[0] for row in days["undated"]} == {None}


def test_a_training_set_is_frozen_when_it_is_read(trained):
    names = ("model_version", "role", "kind", "start", "end", "frozen_at", "count", "late", "in")
    read = [
        dict(zip(names, (row[1], row[2], row[4], row[5], row[6], row[7], *row[9:]), strict=True))
        for row in trained["read"]["baselines"] if row[0] == "trained"
    ]  # fmt: skip
    frozen = {"start": None, "end": None, "frozen_at": datetime(2024, 1, 13), "count": 600}
    assert read == [
        {"model_version": "all", "role": None, "kind": "features"} | frozen
        | {"late": 0, "in": True},
        {"model_version": "v1", "role": "all", "kind": "score"} | frozen
        | {"late": 0, "in": True},
    ]  # fmt: skip
    (definition,) = {row[8] for row in trained["read"]["baselines"] if row[0] == "trained"}
    assert "it's a set.parquet, or the first 1 days of a version that it has no" in definition


def test_another_file_does_not_move_it(trained):
    read, replaced = trained["read"], trained["replaced"]
    assert set(read["trained"]) < set(replaced["trained"])
    for name in ("refreshed", "gone"):
        assert trained[name]["trained"] == replaced["trained"], name
        kept = {row[:-1] for row in trained[name]["baselines"]}
        assert {row[:-1] for row in read["baselines"]} <= kept, name
    assert trained["refreshed"]["baselines"] == replaced["baselines"]


def test_a_revision_takes_the_training_set_again(trained):
    again, before = trained["taken again"], trained["replaced"]
    assert again["churn"] == before["churn"]
    assert again["trained"] != before["trained"]
    in_force = {row[1]: row[9] for row in again["baselines"] if row[0] == "trained" and row[11]}
    assert in_force == {"all": 200, "v1": 200, "v2": 200}
    assert sum(row[11] for row in again["baselines"]) == len(before["baselines"])


def test_a_new_slice_of_a_set_that_is_gone_is_an_error(trained):
    build = trained["new slice"]
    assert build.exit_code != 0
    assert "no such file" in build.output
    assert "when a feature or slice is new" in build.output


def test_a_training_set_step_by_step_equals_at_once(trained):
    assert trained["at once"]["trained"] == trained["replaced"]["trained"]
    assert trained["at once"]["churn"] == trained["replaced"]["churn"]
    assert trained["at once"]["undated"] == trained["replaced"]["undated"]


AREA = [{"name": "area", "type": "numerical"}]
NASTY = {
    "Age": ["30", "31.5", "1e308", "inf", "-inf", "nan", "old", "", None, "-0.0"],
    "plan": ["pro", "o'r", "", None, "pro", "pro", "pro", "x", "x", '"'],
    "is_new": ["true", "FALSE", "maybe", "1", None, "", "false", "true", "true", "null"],
    "score": [0.0, 1.0, 0.5, -0.1, 1.1, math.nan, math.inf, None, 0.25, 0.75],
}


@pytest.fixture(scope="module")
def nasty(tmp_path_factory):
    """Training sets with all that can be wrong with them, of a model of each task."""
    rng = random.Random(32)
    folder = tmp_path_factory.mktemp("nasty")
    churn = copy.deepcopy(MODEL) | {
        "baseline": {"relation": "own.people", "model_version": "v1"},
        "slices": ["plan", "country", {"name": "age", "breaks": [31]}],
    }
    price = {"name": "price's", "task": "regression", "features": AREA}
    kind = {"name": "kind", "task": "multiclass_classification", "features": AREA}
    path = folder / "kinds.parquet"
    warehouse = Warehouse(
        folder / "steps",
        {
            "monitored_models": [
                churn,
                price | {"baseline": {"relation": "own.prices"}},
                kind | {"baseline": {"path": str(path)}},
            ],
            "drift_windows_days": [1],
            "drift_bins": 50,
            "version_baseline_days": 1,
            "min_samples": 10,
        },
    )
    others = {
        "TS": pa.array(["2024-01-01T00:00:00Z"] * 9 + ["yesterday"]),
        "select": pa.array(range(10)),
        "a list": pa.array([[1]] * 10),
        'quo"ted': pa.array([{"x": 1}] * 10),
        "prediction": pa.array([b"x"] * 10),
    }
    warehouse.copy_in("own.people", pa.table(NASTY | others))
    warehouse.copy_in("own.prices", pa.table({"area": pa.array([10, 20, 30] * 10, pa.int16())}))
    kinds = {"area": [1.0, 2.0] * 10, "score": [0.5] * 20, "prediction": [1, 2] * 10}
    pq.write_table(pa.table(kinds), path)
    lines = []
    for day in ("2024-01-10", "2024-01-11"):
        lines += people(rng, day, 30, "churn" + day)
        for version in ("v1", "v2"):
            if version == "v2" and day == "2024-01-10":
                continue
            for name in ("price's", "kind"):
                for number in range(120):
                    prefix = f"{name}{version}{day}{number}"
                    score = rng.random()
                    output = {"score": score if name == "kind" else 1000 * score}
                    if name == "kind":
                        output["prediction"] = rng.choice(["1", 2, 3.0])
                    lines.append(
                        event(prefix, model=name, model_version=version, ts=day + "T12:00:00Z",
                              features={"area": rng.choice([10, 20, 25])}) | output
                    )  # fmt: skip
    lines += people(rng, "2024-01-11", 30, "new", model_version="v2")
    warehouse.write("inference_events/10.jsonl", lines)
    build = warehouse.dbt(*RUN, as_of="2024-01-20")
    assert build.exit_code == 0, build.end
    return warehouse


def counts(warehouse, model):
    found = warehouse.query(
        """
        select baseline_of, slice_key, slice_value, feature, prediction_count, null_count,
            list_sum(map_values(bin_counts)), value_min, value_max, infinite_count
        from ml_monitoring_internal.int_baseline_days
        where model_name = ? and (event_date is null or baseline_of = 'v2')
        order by all
        """,
        model,
    )
    return {row[:4]: row[4:] for row in found}


def test_what_is_no_value_in_a_training_set_is_missing(nasty):
    found = counts(nasty, "churn")
    whole = ("all", "all", "all")
    # NaN, words, nothing and null; the infinities have the outer bins.
    assert found[(*whole, "age")] == (10, 4, 6, 0.0, 1e308, 2)
    assert found[(*whole, "plan")] == (10, 1, 9, None, None, None)
    assert found[(*whole, "is_new")] == (10, 5, 5, None, None, None)
    assert found["v1", "all", "all", "score"] == (10, 5, 5, 0.0, 1.0, 0)
    assert {key[0] for key in found if key[3] == "score"} == {"v1", "v2"}
    # Slices by features; none by an attribute that the set has no column of.
    slices = {key[1:3]: value[0] for key, value in found.items() if key[3] == "age"}
    assert slices == {
        ("all", "all"): 10,
        ("plan", ""): 1, ("plan", "pro"): 4, ("plan", "o'r"): 1, ("plan", "x"): 2,
        ("plan", '"'): 1, ("plan", "(missing)"): 1,
        ("age", "< 31"): 3, ("age", ">= 31"): 3, ("age", "(missing)"): 4,
    }  # fmt: skip


def test_outputs_come_from_the_set_or_from_first_days(nasty):
    baselines = {
        row[:2]: row[2:]
        for row in nasty.query("""
            select model_name, model_version, baseline_start::date::varchar,
                baseline_end::date::varchar, prediction_count, late_count
            from ml_monitoring.baselines order by all
        """)
    }
    first, second = ("2024-01-10", "2024-01-11"), ("2024-01-11", "2024-01-12")
    assert baselines == {
        ("churn", "all"): (None, None, 10, 0),
        # The set has the scores of v1.
        ("churn", "v1"): (None, None, 10, 0),
        ("churn", "v2"): (*second, 30, 0),
        # Without scores each version takes its first days.
        ("price's", "all"): (None, None, 30, 0),
        ("price's", "v1"): (*first, 120, 0),
        ("price's", "v2"): (*second, 120, 0),
        # It is not said whose scores they are.
        ("kind", "all"): (None, None, 20, 0),
        ("kind", "v1"): (None, None, 20, 0),
        ("kind", "v2"): (None, None, 20, 0),
    }
    drift = {
        row[:3]: row[3:]
        for row in nasty.query("""
            select model_name, model_version, feature, baseline_count, new_category_rate,
                round(psi, 6), data_status
            from ml_monitoring.feature_drift
            where comparison = 'baseline' and slice_key = 'all' and window_end = '2024-01-12'
        """)
    }
    assert drift["price's", "v1", "area"][0] == 30
    assert drift["price's", "v1", "score"][0::3] == (120, "ok")
    # On its first day v2 is its own baseline.
    assert drift["price's", "v2", "score"] == (120, None, 0.0, "ok")
    assert drift["kind", "v2", "score"][0] == 20
    count, new, _, status = drift["kind", "v2", "prediction"]
    threes = nasty.query("""
        select count(*) filter (prediction = '3') / count(*)
        from ml_monitoring_restricted.stg_inference_events
        where model_name = 'kind' and model_version = 'v2'
    """)
    assert (count, [(new,)], status) == (20, threes, "ok") and new > 0


@pytest.mark.parametrize(
    ("baseline", "features", "expected"),
    [
        ({"path": "nowhere/to be.parquet"}, AREA, ["no such file", "nowhere/to be.parquet"]),
        ({"relation": "own.nothing"}, AREA, ["there is no such relation", "own.nothing"]),
        (
            {"relation": "own.prices"},
            [*AREA, {"name": "rooms", "type": "numerical"}, {"name": "o's", "type": "boolean"}],
            ["the set has no column for the declared features `rooms`, `o's`", "all null if"],
        ),
        ({"relation": "own.empty"}, AREA, ["the set has no rows", "Fill it before the build"]),
    ],
)
def test_a_training_set_that_cannot_be_used_stops_the_build(nasty, baseline, features, expected):
    nasty.execute("create table if not exists own.empty as select 1 as area where false")
    model = {"name": "flat", "task": "regression", "features": features, "baseline": baseline}
    build = nasty.dbt(
        "run", "--select", "int_training_sets", monitored_models=[model], as_of="2024-01-20"
    )
    assert build.exit_code != 0
    for text in [*expected, "of the model `flat`", "A right example", "baseline: {path: "]:
        assert text in build.output
