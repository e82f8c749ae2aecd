"""What the verdicts on drift are worth, by a small version of ``make simulate``."""

import itertools

import duckdb
import numpy as np
import pyarrow.compute as pc
import pytest

from simulations import drift_power, verdicts, worlds

REPEATS = 12
SEED = 11


def nothing(text):
    del text


@pytest.fixture(scope="module")
def quiet():
    world = drift_power.INDEPENDENT[2]
    assert (world.n, world.day_effect) == (300, 0.0)
    return world, *drift_power.without_drift(world, REPEATS, SEED, nothing, with_evidently=False)


def test_at_most_5_percent_are_flagged_without_drift(quiet):
    world, table, flags = quiet
    cells = drift_power.false_alarms(table, flags, world)
    assert {(cell["comparison"], cell["kind"]) for cell in cells} == {
        (comparison, kind)
        for comparison in ("baseline", "previous")
        for kind in ("numerical", "categorical")
    }
    for cell in cells:
        # Without PSI none would be flagged, whatever the rule.
        assert cell["with_psi"] > 0.8 * cell["features"] > 40
        assert cell["flagged"] <= 0.05 * cell["features"], cell


def test_days_that_are_alike_are_no_drift():
    world = drift_power.CORRELATED[1]
    assert world.day_effect == 0.2
    table, flags = drift_power.without_drift(world, 20, SEED, nothing, with_evidently=False)
    cells = drift_power.false_alarms(table, flags, world)
    flagged, features = (sum(cell[name] for cell in cells) for name in ("flagged", "features"))
    assert 0 < flagged <= 0.05 * features
    # Without the baseline's own windows it would be many more.
    judged = table.set_column(
        table.schema.get_field_index("psi_own_windows_q95"),
        "psi_own_windows_q95",
        pc.multiply(table["psi_own_windows_q95"], 0.0),
    )
    assert verdicts.is_flagged(verdicts.judge([judged])).sum() > 1.5 * flagged


@pytest.mark.parametrize(
    ("feature", "change", "least"),
    [
        ("normal", worlds.Change(shift=1.0), 0.9),
        ("normal", worlds.Change(shift=0.5), 0.9),
        ("normal", worlds.Change(nulls=0.3), 0.9),
        ("normal", worlds.Change(nulls=1.0), 0.9),
        ("five_equal", worlds.Change(category=(0, 0.375)), 0.9),
    ],
)
def test_drift_is_found(quiet, feature, change, least):
    world, table, _ = quiet
    changes = [("change", feature, change)]
    (found,) = drift_power.with_drift(
        table, world, changes, REPEATS, SEED, nothing, with_evidently=False
    )
    assert found["ours"] >= least * found["windows"], found


@pytest.mark.parametrize("feature", worlds.FEATURES, ids=lambda feature: feature.name)
def test_bins_are_those_of_the_sql(feature):
    rng = np.random.default_rng(3)
    sample = worlds.draw(feature, worlds.World("", 100), rng)
    bins = verdicts.bins_of(feature, sample)
    values = sample.ordered
    if feature.is_categorical:
        names = [verdicts.category_name(code) for code in values]
        by_count = sorted(set(names), key=lambda name: (-names.count(name), name))
        assert bins.categories == by_count[:200]
        return
    connection = duckdb.connect()
    baseline = verdicts.pa.table({"value": values})  # noqa: F841
    distinct, quantiles = connection.execute(
        "select list(distinct value),"
        " quantile_disc(value, list_transform(range(1, 200), lambda k: k / 200)) from baseline"
    ).fetchone()
    assert bins.is_discrete == (len(distinct) <= 200)
    if bins.is_discrete:
        expected = [edge for value in distinct for edge in (np.nextafter(value, -np.inf), value)]
    else:
        repeated = [b for a, b in itertools.pairwise(quantiles) if a == b]
        lower = [np.nextafter(value, -np.inf) for value in [*repeated, min(distinct)]]
        expected = {*quantiles, max(distinct), *lower}
    assert bins.edges.tolist() == sorted(expected)
