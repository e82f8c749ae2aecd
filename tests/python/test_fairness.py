import itertools
import tracemalloc

import numpy as np
import pytest
from fairlearn import metrics as fairlearn_metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_score

from fairness import Gap, fairness_metrics, group_gap, group_ratio, larger_gap
from intervals import newcombe_interval, wilson_interval

ANY = st.one_of(st.integers(0, 5), st.just(0), st.integers(0, 10**9))
FIELDS = ("value", "lower", "upper", "lowest_group", "highest_group")


@st.composite
def groups(draw, max_groups=6):
    """Successes, trials and who takes part."""
    pairs = st.tuples(ANY, ANY).map(lambda pair: (min(pair), max(pair)))
    drawn = draw(st.lists(st.tuples(pairs, st.booleans()), min_size=1, max_size=max_groups))
    successes, trials = np.array([pair for pair, _ in drawn]).T
    return successes, trials, np.array([part for _, part in drawn])


def fields(gap):
    return [getattr(gap, name) for name in FIELDS]


UNDEFINED = [np.nan, np.nan, np.nan, -1, -1]


@given(groups(), st.sampled_from([0.5, 0.95, 0.99]), st.integers(1, 3))
def test_group_gap_equals_a_loop_over_pairs(drawn, confidence, comparisons):
    successes, trials, takes_part = drawn
    options = {"confidence": confidence, "comparisons": comparisons}
    found = group_gap(successes, trials, takes_part=takes_part, **options)
    members = np.flatnonzero(takes_part & (trials > 0)).tolist()
    if len(members) < 2:
        np.testing.assert_array_equal(fields(found), UNDEFINED)
        return
    rates = {group: successes[group] / trials[group] for group in members}
    lowest, highest = min(members, key=rates.get), max(members, key=rates.get)
    n_pairs = len(list(itertools.combinations(members, 2)))
    level = 1 - (1 - confidence) / n_pairs / comparisons
    bounds = [
        newcombe_interval(successes[a], trials[a], successes[b], trials[b], confidence=level)
        for a, b in itertools.permutations(members, 2)
    ]
    lower, upper = max(low for low, _ in bounds), max(high for _, high in bounds)
    expected = [rates[highest] - rates[lowest], max(lower, 0), upper, lowest, highest]
    np.testing.assert_allclose(fields(found), expected, rtol=1e-9, atol=1e-12)
    assert found.lower <= found.value <= found.upper


@given(groups(), st.sampled_from([0.5, 0.95, 0.99]))
def test_group_ratio_equals_a_loop_over_pairs(drawn, confidence):
    successes, trials, takes_part = drawn
    found = group_ratio(successes, trials, takes_part=takes_part, confidence=confidence)
    members = np.flatnonzero(takes_part & (trials > 0)).tolist()
    if len(members) < 2 or not successes[members].any():
        np.testing.assert_array_equal(fields(found), UNDEFINED)
        return
    rates = {group: successes[group] / trials[group] for group in members}
    lowest, highest = min(members, key=rates.get), max(members, key=rates.get)
    level = 1 - (1 - confidence) / len(members)
    bounds = {g: wilson_interval(successes[g], trials[g], confidence=level) for g in members}
    pairs = list(itertools.permutations(members, 2))
    lower = min(bounds[a][0] / bounds[b][1] for a, b in pairs)
    upper = min([1, *(bounds[a][1] / bounds[b][0] for a, b in pairs if bounds[b][0] > 0)])
    expected = [rates[lowest] / rates[highest], lower, upper, lowest, highest]
    np.testing.assert_allclose(fields(found), expected, rtol=1e-9, atol=1e-12)
    assert found.lower <= found.value <= found.upper


def test_a_small_group_does_not_bound_the_ratio_by_itself():
    found = group_ratio([5000, 10, 5000], [10_000, 20, 10_000], takes_part=True)
    lower, upper = wilson_interval(10, 20, confidence=1 - 0.05 / 3)
    assert found.value == 1
    assert found.lower > lower / upper + 0.1


def expanded(cells):
    """Label, prediction and group of each prediction, from counts of shape (4, n_groups)."""
    rows = [
        (label, prediction, group)
        for (label, prediction), counts in zip([(1, 1), (0, 1), (0, 0), (1, 0)], cells, strict=True)
        for group, count in enumerate(counts.tolist())
        for _ in range(count)
    ]
    return np.array(rows).T


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.integers(1, 6)] * 4).map(list),
        min_size=2,
        max_size=5,
    ),
    st.sampled_from([1, 3]),
)
def test_gaps_equal_fairlearn(drawn, emptied):
    # Every group has every denominator, but the first one makes no errors of one kind.
    drawn[0][emptied] = 0
    cells = np.array(drawn).T
    found = fairness_metrics(*cells, takes_part=np.ones(len(drawn), bool))
    y_true, y_pred, sensitive = expanded(cells)
    options = {"sensitive_features": sensitive}

    def difference(metric):
        frame = fairlearn_metrics.MetricFrame(
            metrics=metric, y_true=y_true, y_pred=y_pred, **options
        )
        return frame.difference()

    expected = {
        name: getattr(fairlearn_metrics, name)(y_true, y_pred, **options)
        for name in (
            "demographic_parity_difference",
            "demographic_parity_ratio",
            "equal_opportunity_difference",
            "equalized_odds_difference",
        )
    }
    expected["predictive_equality_difference"] = difference(fairlearn_metrics.false_positive_rate)
    expected["predictive_parity_difference"] = difference(precision_score)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name].value, value, atol=1e-12, err_msg=name)


def test_a_group_without_positives_has_no_true_positive_rate():
    # Of group 2 nobody was positive, so nothing is known of how often its positives are found.
    # fairlearn counts that as a rate of 0 and reports the worst gap there can be, which would
    # blame the model for the absence of cases. Here the group takes no part in that gap, but
    # does in those of which it has the denominator.
    cells = np.array([[8, 7, 0], [1, 2, 1], [9, 8, 9], [0, 0, 0]])
    y_true, y_pred, sensitive = expanded(cells)
    theirs = fairlearn_metrics.equal_opportunity_difference(
        y_true, y_pred, sensitive_features=sensitive
    )
    assert theirs == 1
    found = fairness_metrics(*cells, takes_part=np.ones(3, bool))
    ours = found["equal_opportunity_difference"]
    assert ours.value == 0
    assert ours.lowest_group in (0, 1)
    assert found["equalized_odds_difference"].value == pytest.approx(0.1)
    assert found["demographic_parity_difference"].lowest_group == 2
    assert found["predictive_parity_difference"].lowest_group == 2


def test_equalized_odds_is_the_larger_gap_with_bounds_that_hold_together():
    cells = np.array(
        [[[30, 10], [30, 29]], [[5, 5], [3, 20]], [[25, 25], [27, 10]], [[5, 25], [5, 6]]]
    )
    takes_part = np.ones((2, 2), bool)
    found = fairness_metrics(*cells, takes_part=takes_part)
    odds = found["equalized_odds_difference"]
    equal_opportunity = found["equal_opportunity_difference"]
    predictive_equality = found["predictive_equality_difference"]
    assert odds.value.tolist() == [equal_opportunity.value[0], predictive_equality.value[1]]
    assert odds.lowest_group.tolist() == [1, 0]
    assert odds.highest_group.tolist() == [0, 1]
    both = [
        group_gap(*counts, takes_part=takes_part, confidence=0.975)
        for counts in ((cells[0], cells[0] + cells[3]), (cells[1], cells[1] + cells[2]))
    ]
    np.testing.assert_allclose(odds.lower, np.maximum(both[0].lower, both[1].lower), atol=1e-12)
    np.testing.assert_allclose(odds.upper, np.maximum(both[0].upper, both[1].upper), atol=1e-12)
    assert (odds.lower < np.maximum(equal_opportunity.lower, predictive_equality.lower)).all()


def test_the_larger_of_a_known_and_an_unknown_gap_is_unknown():
    known = group_gap([1, 2], [4, 4], takes_part=True)
    unknown = group_gap([1, 0], [4, 0], takes_part=True)
    for pair in ((known, unknown), (unknown, known), (unknown, unknown)):
        np.testing.assert_array_equal(fields(larger_gap(*pair)), UNDEFINED)
    np.testing.assert_array_equal(fields(larger_gap(known, known)), fields(known))
    other = Gap(known.value, known.lower, known.upper, np.array(7), np.array(8))
    assert larger_gap(known, other).lowest_group == 0


def test_groups_that_take_no_part_change_nothing():
    rng = np.random.default_rng(0)
    cells = rng.integers(1, 50, (4, 3, 6))
    takes_part = np.array([True, False, True, True, False, True])
    found = fairness_metrics(*cells, takes_part=takes_part)
    expected = fairness_metrics(*cells[..., takes_part], takes_part=np.ones(4, bool))
    places = np.flatnonzero(takes_part)
    for name, gap in found.items():
        for field in FIELDS[:3]:
            np.testing.assert_array_equal(getattr(gap, field), getattr(expected[name], field))
        for field in FIELDS[3:]:
            theirs = places[getattr(expected[name], field)]
            np.testing.assert_array_equal(getattr(gap, field), theirs)


@pytest.mark.parametrize("name", fairness_metrics([1], [1], [1], [1], takes_part=[True]))
def test_a_row_gives_the_same_bits_alone_and_in_any_batch(name):
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 10 ** rng.integers(1, 9, (12, 1)), (4, 12, 9))
    cells[:, 5] = 0
    takes_part = rng.random((12, 9)) < 0.6
    takes_part[7] = False
    together = np.array(fields(fairness_metrics(*cells, takes_part=takes_part)[name]))
    for row in range(12):
        alone = fairness_metrics(*cells[:, row], takes_part=takes_part[row])[name]
        np.testing.assert_array_equal(together[:, row], fields(alone))
    folded = fairness_metrics(
        *cells.reshape(4, 3, 4, 9), takes_part=np.asfortranarray(takes_part).reshape(3, 4, 9)
    )[name]
    np.testing.assert_array_equal(together, np.array(fields(folded)).reshape(5, 12))
    assert np.isnan(together[:3, [5, 7]]).all()
    assert (together[3:, [5, 7]] == -1).all()


def test_identical_groups_show_a_gap_but_not_beyond_its_bounds():
    rng = np.random.default_rng(0)
    successes = rng.binomial(50, 0.3, (2000, 50))
    gap = group_gap(successes, 50, takes_part=True)
    assert gap.value.mean() == pytest.approx(0.29, abs=0.01)
    assert (gap.lower > 0).mean() <= 0.05
    assert (gap.upper > gap.value).all()
    ratio = group_ratio(successes, 50, takes_part=True)
    assert ratio.value.mean() < 0.5
    assert (ratio.upper < 1).mean() <= 0.05


@pytest.mark.parametrize("n_groups", [2, 5, 20])
def test_bounds_hold_the_true_gap_as_often_as_they_say(n_groups):
    rng = np.random.default_rng(0)
    chances = np.linspace(0.2, 0.6, n_groups)
    successes = rng.binomial(60, chances, (3000, n_groups))
    gap = group_gap(successes, 60, takes_part=True)
    assert ((gap.lower <= 0.4) & (gap.upper >= 0.4)).mean() >= 0.945
    assert (gap.lower > 0).mean() > 0.5
    ratio = group_ratio(successes, 60, takes_part=True)
    assert ((ratio.lower <= 1 / 3) & (ratio.upper >= 1 / 3)).mean() >= 0.945


def test_memory_stays_near_that_of_the_counts():
    rng = np.random.default_rng(0)
    successes = rng.integers(0, 100, (1000, 200))
    tracemalloc.start()
    group_gap(successes, 100, takes_part=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * successes.nbytes


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="successes must be between 0 and trials, got"):
        group_gap([1, 5], [2, 4], takes_part=True)
    with pytest.raises(ValueError, match="successes must be between 0 and trials, got"):
        group_ratio([1, -5], [2, 4], takes_part=True)
    with pytest.raises(ValueError, match=r"confidence must be in \(0, 1\), got"):
        group_gap([1, 2], [2, 4], takes_part=True, confidence=1)
    with pytest.raises(ValueError, match=r"confidence must be in \(0, 1\), got"):
        group_ratio([1, 2], [2, 4], takes_part=True, confidence=1)
    with pytest.raises(ValueError, match="successes must be between 0 and trials, got"):
        fairness_metrics([1, 1], [1, 1], [1, -2], [1, 1], takes_part=True)
