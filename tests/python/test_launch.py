"""The launch rule: its intervals hold at all looks together, and its verdicts follow from them."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import launch
from launch import Criterion
from paired import Estimate, PairedCounts
from simulations import launch_rule


def test_reach_is_that_of_robbins_mixture():
    # (1 + 1/6)(ln 7 + 2 ln 10), by hand.
    assert launch.standard_errors(5000, 5000) == pytest.approx(
        np.sqrt(7 / 6 * (1.945910 + 4.605170))
    )
    assert launch.standard_errors(0, 5000) == np.inf
    at = [launch.standard_errors(n, 1000) for n in (10, 250, 500, 1000)]
    assert at == sorted(at, reverse=True)
    assert launch.standard_errors(4000, 1000) < 1.05 * at[-1]
    assert launch.standard_errors(1000, 1000, alpha=0.01) > at[-1]
    # Wider than an interval for one look.
    assert at[-1] > stats.norm.ppf(0.95)


@pytest.mark.parametrize(("alpha", "least"), [(0.5, 100), (0.0, 100), (0.05, 0)])
def test_what_cannot_be_is_refused(alpha, least):
    with pytest.raises(ValueError, match="must be"):
        launch.standard_errors(10, least, alpha=alpha)


def test_looking_at_every_request_errs_no_more_often_than_alpha():
    rng = np.random.default_rng(0)
    n, alpha = 4000, 0.05
    errors = np.array([launch.standard_errors(k, 500, alpha=alpha) for k in range(1, n + 1)])
    reach = errors / np.sqrt(np.arange(1, n + 1))
    crossed = 0
    for _ in range(2000):
        mean = np.cumsum(rng.normal(size=n)) / np.arange(1, n + 1)
        crossed += (mean > reach).any()
    # At most 5 %; and not so wide that it never errs.
    assert stats.binomtest(crossed, 2000, alpha, alternative="greater").pvalue > 0.001
    assert crossed > 20
    # What is usual for one look errs far more often.
    assert stats.norm.ppf(1 - alpha) < errors.min()


def test_reach_takes_the_larger_of_requests_and_days():
    days = np.array([0.1, -0.1, 0.05, -0.05])
    estimate = Estimate(0.3, 1e-6, days, 4, bias_below=0.01, bias_above=0.02)
    of_days = np.sqrt(4 / 3 * np.sum(days**2))
    quantile = stats.t.ppf(stats.norm.cdf(2.5), 3)
    assert launch.reach(estimate, 2.5) == pytest.approx(quantile * of_days)
    lower, upper = launch.interval(estimate, 2.5)
    assert (lower, upper) == (
        pytest.approx(0.3 - quantile * of_days - 0.01),
        pytest.approx(0.3 + quantile * of_days + 0.02),
    )
    assert launch.reach(Estimate(0.3, 1.0, days, 4), 2.5) == pytest.approx(2.5)
    assert np.isnan(launch.reach(Estimate(0.3, 1.0, days[:1], 1), 2.5))
    assert np.isnan(launch.reach(estimate, np.inf))


def counts_of(rows) -> PairedCounts:
    """From an array of shape (n_groups, n_days, 4): only A, only B, both, neither."""
    return PairedCounts(rows[..., 0], rows[..., 1], rows[..., 2], rows.sum(axis=-1))


def plain_gap_difference(rows, count, least, alpha):
    """Pair by pair, group by group."""
    n_groups, n_days, _ = rows.shape

    def errors(level):
        return launch.standard_errors(count, least, alpha=level)

    def bound(of_days, variance, level):
        between = n_days / (n_days - 1) * np.sum(of_days**2)
        quantile = stats.t.ppf(stats.norm.cdf(errors(level)), n_days - 1)
        return max(errors(level) * np.sqrt(variance), quantile * np.sqrt(between))

    total = rows.sum(axis=(1, 2))
    a, b = (rows[..., [k, 2]].sum(axis=(1, 2)) / total for k in (0, 1))
    growths, of_b, of_a = [], [], []
    level = alpha / 2 / (n_groups * (n_groups - 1))
    for i, j in itertools.permutations(range(n_groups), 2):
        deviations, variances = {}, {}
        for kind, share, own in (
            ("a", a, rows[..., 0] + rows[..., 2]),
            ("b", b, rows[..., 1] + rows[..., 2]),
            ("change", b - a, rows[..., 1] - rows[..., 0]),
        ):
            deviations[kind] = [
                (own[g] - rows[g].sum(axis=1) * share[g]) / total[g] for g in (i, j)
            ]
        for g in (i, j):
            only_a, only_b = rows[g, :, 0].sum(), rows[g, :, 1].sum()
            n = total[g] + 2
            variances.setdefault("change", []).append(
                (only_a + only_b + 1 - (only_b - only_a) ** 2 / n) / n**2
            )
            for kind, share in (("a", a), ("b", b)):
                p = (share[g] * total[g] + 1) / n
                variances.setdefault(kind, []).append(p * (1 - p) / total[g])

        beyond = {
            kind: bound(deviations[kind][0] - deviations[kind][1], sum(variances[kind]), at)
            for kind, at in (("change", alpha), ("b", level), ("a", alpha / 2))
        }
        growths.append((b - a)[i] - (b - a)[j] + beyond["change"])
        of_b.append(b[i] - b[j] - beyond["b"])
        of_a.append(a[i] - a[j] + beyond["a"])
    gap_a, gap_b = max(a) - min(a), max(b) - min(b)
    bounds = np.clip([max(of_b) - max(of_a), max(growths)], -1, 1)
    return gap_a, gap_b, gap_b - gap_a, *bounds


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(2, 5), st.integers(2, 6))
def test_gap_difference_is_that_of_all_pairs(seed, n_groups, n_days):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 30, (n_groups, n_days, 4)) * (rng.random((n_groups, n_days, 1)) < 0.9)
    rows[:, 0] += 1
    count = int(rows.sum())
    found = launch.gap_difference(counts_of(rows), count=count, least=100, alpha=0.04)
    with_days = rows[:, rows.sum(axis=(0, 2)) > 0]
    if with_days.shape[1] < 2:
        assert np.isnan(found[3:]).all()
        return
    expected = plain_gap_difference(with_days, count, 100, 0.04)
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_gap_needs_two_groups_with_members():
    rows = np.ones((3, 4, 4), int)
    assert np.isnan(launch.gap_difference(counts_of(rows[:1]), count=9, least=9)).all()
    rows[1] = 0
    assert np.isnan(launch.gap_difference(counts_of(rows), count=9, least=9)).all()


@pytest.mark.parametrize(
    ("criterion", "margin", "lower", "upper", "expected"),
    [
        ("roc_auc", 0.01, -0.009, 0.02, "pass"),
        ("roc_auc", 0.01, -0.011, 0.02, "undecided"),
        ("roc_auc", 0.01, -0.03, -0.011, "fail"),
        # Exactly the margin is no pass.
        ("roc_auc", 0.01, -0.01, 0.0, "undecided"),
        ("ece", 0.02, -0.5, 0.019, "pass"),
        ("ece", 0.02, 0.021, 0.03, "fail"),
        ("latency_p95_ms", 0.2, 0.1, 0.25, "undecided"),
        ("error_rate", 0.0, -0.2, -0.1, "pass"),
        ("equal_opportunity_difference", 0.05, np.nan, np.nan, "undecided"),
        ("labeled_pairs", 5000, 4999, 4999, "undecided"),
        ("labeled_pairs", 5000, 5000, 5000, "pass"),
        ("shadow_days", 14, 13, 13, "undecided"),
        ("partner_rate", 0.95, 0.951, 0.96, "pass"),
        ("partner_rate", 0.95, 0.94, 0.96, "undecided"),
        ("partner_rate", 0.95, 0.90, 0.94, "fail"),
    ],
)
def test_verdict(criterion, margin, lower, upper, expected):
    assert launch.verdict(criterion, margin, lower, upper) == expected


def test_there_is_no_other_criterion():
    with pytest.raises(ValueError, match="criterion must be one of"):
        launch.verdict("speed", 0, 0, 0)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["pass", "pass"], "ship"),
        (["pass", "undecided"], "not_enough_evidence"),
        (["pass", "undecided", "fail"], "hold"),
        ([], "not_enough_evidence"),
    ],
)
def test_decision(verdicts, expected):
    assert launch.decision(verdicts) == expected


def test_criteria_of_a_schedule_are_those_of_its_requests():
    world = launch_rule.World("equal", requests_a_day=200, days=5)
    requests = launch_rule.draw(world, np.random.default_rng(4))
    known = launch_rule.evidence(requests, 5)
    found = {key: launch.measure(known, *key, least=500, alpha=0.05) for key in launch_rule.MARGINS}
    both = requests.is_paired & ~requests.failed[0] & ~requests.failed[1] & requests.is_labelled
    errors = launch.standard_errors(int(requests.is_paired.sum()), 500)
    assert found["labeled_pairs", "all"].value == both.sum()
    assert found["shadow_days", "all"].value == 5
    rate = found["partner_rate", "all"]
    assert rate.value == pytest.approx(requests.is_paired.mean())
    assert 0 < rate.lower < rate.value < rate.upper <= 1
    error_rate = found["error_rate", "all"]
    for value, failed in zip(
        (error_rate.live_value, error_rate.value), requests.failed, strict=True
    ):
        assert value == pytest.approx(failed[requests.is_paired].mean())
    assert error_rate.sample_count == requests.is_paired.sum()
    assert error_rate.upper - error_rate.difference == pytest.approx(
        error_rate.difference - error_rate.lower
    )
    apart = (requests.failed[0] ^ requests.failed[1]) & requests.is_paired
    n = requests.is_paired.sum() + 2
    least_reach = errors * np.sqrt((apart.sum() + 1 - (error_rate.difference * n) ** 2 / n) / n**2)
    assert error_rate.upper - error_rate.difference >= least_reach * 0.99
    latency = found["latency_p95_ms", "all"]
    assert latency.difference == pytest.approx(latency.value / latency.live_value - 1)
    hit_rates = [
        [
            decision[both & requests.label & (requests.group == group)].mean()
            for group in range(launch_rule.GROUPS)
        ]
        for decision in requests.decisions
    ]
    gap = found["equal_opportunity_difference", "group"]
    assert (gap.live_value, gap.value) == pytest.approx([np.ptp(part) for part in hit_rates])


def test_nothing_is_known_without_requests():
    none = np.zeros((2, 0), int)
    empty = np.zeros(0, int)
    known = launch.Evidence(
        live_count=0,
        failures=PairedCounts(*(np.zeros(2, int),) * 4),
        latency_bins=empty,
        latencies_a=none,
        latencies_b=none,
        hits=PairedCounts(*(np.zeros(2, int),) * 4),
        cells=launch.Cells(*(empty,) * 5, np.zeros(0), np.zeros(0)),
        variance_sums=(np.zeros(0), np.zeros(0)),
        calibration_bins=np.zeros(9, int),
        auc_error_bound=np.nan,
        groups={},
    )
    for criterion in ("roc_auc", "accuracy", "ece", "latency_p95_ms", "error_rate", "partner_rate"):
        found = launch.measure(known, criterion, "all", least=10)
        assert isinstance(found, Criterion)
        assert np.isnan([found.value, found.difference, found.lower, found.upper]).all()
    assert launch.measure(known, "labeled_pairs", "all", least=10).value == 0


@pytest.mark.parametrize("worse", launch_rule.AT_THE_MARGIN, ids=str)
def test_worse_by_the_margin_hardly_ever_ships(worse):
    world = launch_rule.World(
        worse, requests_a_day=600, days=20, day_effect=0.5, **launch_rule.AT_THE_MARGIN[worse]
    )
    shipped = sum(launch_rule.schedule(world, seed)["shipped_on"] is not None for seed in range(40))
    # Of 40 at 5 % there are 7 or more once in 300 times.
    assert shipped < 7


def test_equal_ships_and_much_worse_is_held():
    equal = launch_rule.World("equal", requests_a_day=2500)
    assert sum(launch_rule.schedule(equal, s)["shipped_on"] is not None for s in range(10)) >= 8
    worse = launch_rule.World("worse", requests_a_day=1000, auc_loss=0.05)
    for seed in range(5):
        found = launch_rule.schedule(worse, seed)
        assert found["held_on"] is not None
        assert found["shipped_on"] is None
