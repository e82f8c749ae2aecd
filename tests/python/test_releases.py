"""Releases: reweighting against plain Python, numpy and scikit-learn; simulations."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import confint_proportions_2indep

import releases
from calibration import ece_interval
from performance import roc_auc_variance
from performance_tables import UNIT
from release_tables import release_table

# --- The functions -------------------------------------------------------------------------------

cell_counts = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=8)


@given(cell_counts)
def test_weights_give_the_new_side_the_mix_of_the_old_one(pairs):
    before, after = np.array(pairs).T
    previous_weight, weight, coverage = releases.mix_weights(before, after)
    both = [(p, n) for p, n in pairs if p and n]
    total_before, total_after = sum(p for p, _ in both), sum(n for _, n in both)
    if before.sum():
        assert coverage == pytest.approx(total_before / before.sum())
    else:
        assert np.isnan(coverage)
    for (p, n), w_before, w_after in zip(pairs, previous_weight, weight, strict=True):
        assert w_before == float(p > 0 and n > 0)
        if p and n:
            assert w_after * n / total_after == pytest.approx(p / total_before)
        else:
            assert w_after == 0


@st.composite
def members(draw):
    """Members one by one: day, weight, score bin, label, latency bin."""
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(0, 3),
                st.sampled_from([0.0, 0.25, 1.0, 3.0]),
                st.integers(0, 5),
                st.booleans(),
                st.integers(-177, 40),
            ),
            min_size=1,
            max_size=60,
        )
    )
    return [np.array(part) for part in zip(*rows, strict=True)]


def grouped(keys, *values):
    """Sum up what is alike in its keys."""
    unique, place = np.unique(np.stack(keys), axis=1, return_inverse=True)
    place = place.ravel()
    return unique, [np.bincount(place, value) for value in values]


def sandwich(x, weight):
    """Variance of a weighted mean, member by member."""
    mean = np.average(x, weights=weight)
    n = np.count_nonzero(weight)
    return np.sum((weight * (x - mean) / weight.sum()) ** 2) * n / (n - 1)


@given(members())
def test_a_share_is_that_of_weighted_members(rows):
    day, weight, _, label, _ = rows
    (days, weights), (count, hits) = grouped([day, weight], np.ones(len(day)), label)
    found = releases.rate_of(weights, days.astype(int), count, hits, n_days=4)
    if not weight.sum():
        assert np.isnan(found.value)
        assert np.isnan(found.bounds(1.0)).all()
        return
    p = np.average(label, weights=weight)
    assert found.value == pytest.approx(p)
    assert found.estimate.n_days == len(set(day[weight > 0]))
    by_day = [np.sum((weight * (label - p))[day == d]) / weight.sum() for d in range(4)]
    assert found.estimate.days == pytest.approx(by_day, abs=1e-12)
    if np.count_nonzero(weight) > 1:
        assert found.estimate.variance == pytest.approx(sandwich(label, weight), abs=1e-12)
    lower, upper = found.bounds(2.0)
    assert 0 <= lower <= found.value + 1e-12
    assert found.value - 1e-12 <= upper <= 1
    assert upper > lower


def delong(number, label, weight, auc):
    """Variance of a weighted AUC, member by member."""
    total = 0.0
    for own in (False, True):
        mine, others = label == own, label != own
        placements = np.array(
            [
                np.average((number[others] < x) + (number[others] == x) / 2, weights=weight[others])
                for x in number[mine]
            ]
        )
        deviations = (placements if own else 1 - placements) - auc
        n = mine.sum()
        total += np.sum((weight[mine] * deviations / weight[mine].sum()) ** 2) * n / (n - 1)
    return total


def test_without_weights_the_variance_is_delongs():
    rng = np.random.default_rng(9)
    negatives, positives = rng.integers(0, 9, 6), rng.integers(0, 9, 6)
    ones, none = np.ones(6), np.zeros(6, int)
    found = releases.auc_of(ones, none, np.arange(6), negatives, positives, n_days=1)
    expected = float(roc_auc_variance(negatives, positives))
    assert found.estimate.variance == pytest.approx(expected)
    lower, upper = found.bounds(4.0)
    assert upper - lower == pytest.approx(2 * 1.959964 * 2 * np.sqrt(expected), rel=1e-6)


@given(members())
def test_an_auc_is_that_of_weighted_members(rows):
    day, weight, number, label, _ = rows
    (days, weights, numbers), (negatives, positives) = grouped([day, weight, number], ~label, label)
    found = releases.auc_of(
        weights,
        days.astype(int),
        numbers.astype(int),
        negatives.astype(int),
        positives.astype(int),
        n_days=4,
    )
    counts = weight > 0
    if len(set(label[counts])) < 2:
        assert np.isnan(found.value)
        return
    expected = roc_auc_score(label[counts], number[counts], sample_weight=weight[counts])
    assert found.value == pytest.approx(expected)
    assert found.estimate.days.sum() == pytest.approx(0, abs=1e-12)
    if min(Counter(label[counts]).values()) > 1:
        variance = delong(number[counts], label[counts], weight[counts], found.value)
        assert found.estimate.variance == pytest.approx(variance, abs=1e-15)


@given(members())
def test_an_ece_is_that_of_weighted_members(rows):
    day, weight, number, label, _ = rows
    score = number / 6 + 0.05
    (days, weights, numbers), (count, sums, positives) = grouped(
        [day, weight, number], np.ones(len(day)), score, label
    )
    found = releases.ece_of(
        weights,
        days.astype(int),
        numbers.astype(int),
        count,
        sums,
        positives,
        n_days=4,
        n_bins=6,
    )
    if not weight.sum():
        assert np.isnan(found.value)
        return
    expected = sum(abs(np.sum((weight * (score - label))[number == b])) for b in range(6)) / np.sum(
        weight
    )
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.estimate.days.sum() == pytest.approx(0, abs=1e-12)
    variances = []
    for b in range(6):
        w = weight[number == b]
        share = (np.sum(w * label[number == b]) + 2) / (w.sum() + 4)
        variances.append(np.sum(w**2) * share * (1 - share))
    spread = np.sqrt(np.sum(variances)) / weight.sum()
    bias = np.sqrt(2 / np.pi) * np.sum(np.sqrt(variances)) / weight.sum()
    lower, upper = expected - 2 * bias - 2 * 1.959964 * spread, expected + 2 * 1.959964 * spread
    assert found.bounds(4.0) == pytest.approx((max(lower, 0), min(upper, 1)), abs=1e-6)
    wide, narrow = found.bounds(3.0), found.bounds(1.0)
    assert wide[0] <= narrow[0] <= found.value <= narrow[1] <= wide[1]


def test_without_weights_an_ece_has_the_interval_of_calibration():
    rng = np.random.default_rng(9)
    count = rng.integers(20, 90, 6)
    positives, score_sum = rng.binomial(count, 0.2), count * np.linspace(0.05, 0.95, 6)
    ones, none = np.ones(6), np.zeros(6, int)
    found = releases.ece_of(
        ones, none, np.arange(6), count, score_sum, positives, n_days=1, n_bins=6
    )
    expected = tuple(map(float, ece_interval(count, score_sum, positives)))
    assert found.bounds(1.0) == pytest.approx(expected)
    assert expected[0] > 0


def test_a_quantile_of_few_has_no_bounds():
    """The largest of 60 latencies says little of the p99."""
    for n, q, has_bounds in ((60, 0.99, False), (200, 0.99, False), (400, 0.99, True),
                             (50, 0.95, False), (80, 0.95, True), (6, 0.5, True)):  # fmt: skip
        found = releases.quantile_of(
            np.ones(n), np.zeros(n, int), np.arange(n), np.ones(n, int), q=q, n_days=1
        )
        assert (not np.isnan(found.bounds(1.0)).any()) == has_bounds, (n, q)


@given(members(), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_that_of_weighted_members(rows, q):
    day, weight, _, _, number = rows
    (days, weights, numbers), (count,) = grouped([day, weight, number], np.ones(len(day)))
    found = releases.quantile_of(
        weights, days.astype(int), numbers.astype(int), count, q=q, n_days=4
    )
    if not weight.sum():
        assert np.isnan(found.value)
        return
    # The upper end of each bin, as the latency of its members.
    latency = np.where(number <= -177, 0.0, 1.04 ** number.astype(float))[weight > 0]
    expected = np.quantile(latency, q, weights=weight[weight > 0], method="inverted_cdf")
    # Where the share is met exactly, either neighbour will do to rounding.
    above = np.quantile(
        latency, min(q + 1e-9, 1), weights=weight[weight > 0], method="inverted_cdf"
    )
    low, high = expected / 1.04 * (1 - 1e-9), above * (1 + 1e-9)
    assert low <= found.value <= high
    lower, upper = found.bounds(1.5)
    if not np.isnan(lower):
        assert lower <= found.value <= upper


def test_quantile_bounds_hold_the_quantile():
    rng = np.random.default_rng(5)
    truth = np.exp(4 + 0.5 * stats.norm.ppf(0.95))
    hits = 0
    for _ in range(300):
        latency = np.exp(rng.normal(4, 0.5, 800))
        number = np.ceil(np.log(latency) / np.log(1.04)).astype(int)
        found = releases.quantile_of(
            np.ones(800), np.zeros(800, int), number, np.ones(800, int), q=0.95, n_days=1
        )
        lower, upper = found.bounds(1.0)
        hits += lower <= truth <= upper
    assert 0.915 <= hits / 300 <= 0.985


@given(st.integers(1, 90), st.integers(1, 90), st.data())
def test_rates_without_a_mix_have_newcombes_interval(n_a, n_b, data):
    k_a, k_b = data.draw(st.integers(0, n_a)), data.draw(st.integers(0, n_b))
    # Of n members p (1 - p) / (n - 1) is the variance: the effective number is n - 1.
    sides = [
        releases.rate_of(np.ones(1), np.zeros(1, int), np.array([n]), np.array([k]), n_days=1)
        for k, n in ((k_a, n_a), (k_b, n_b))
    ]
    found = releases.difference_interval(
        sides[0].value, sides[0].bounds(1.0), sides[1].value, sides[1].bounds(1.0)
    )
    effective = [
        (k / n * m, m) for k, n in ((k_a, n_a), (k_b, n_b)) for m in [n - 1 if 0 < k < n else n]
    ]
    (c_a, m_a), (c_b, m_b) = effective
    expected = confint_proportions_2indep(c_a, m_a, c_b, m_b, method="newcomb", compare="diff")
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_design_effect_is_that_of_days():
    day = np.repeat(np.arange(6), 10)
    hits = np.repeat([1, 0, 1, 0, 1, 0], 10)
    found = releases.rate_of(np.ones(60), day, np.ones(60, int), hits, n_days=6)
    # All alike within a day: six members, not sixty.
    assert found.day_effect == pytest.approx((1 / 4 / 5) / (1 / 4 / 59))
    lower, upper = found.bounds(found.day_effect)
    assert (lower, upper) == pytest.approx(tuple(map(float, releases.wilson_interval(2.5, 5))))


def test_student_factor():
    assert releases.student_factor(7) == pytest.approx((stats.t.ppf(0.975, 6) / 1.959964) ** 2)


@pytest.mark.parametrize(
    ("metric", "difference", "previous", "bounds", "expected"),
    [
        ("latency_p95_ms", 31, 100, (10, 50), True),
        ("latency_p95_ms", 31, 100, (-1, 63), False),
        ("latency_p95_ms", 20, 100, (10, 30), False),
        ("latency_p95_ms", -50, 100, (-60, -40), False),
        ("roc_auc", -0.03, 0.8, (-0.05, -0.01), True),
        ("roc_auc", -0.03, 0.8, (-0.07, 0.01), False),
        ("roc_auc", -0.009, 0.8, (-0.01, -0.008), False),
        ("roc_auc", 0.03, 0.8, (0.01, 0.05), False),
        ("ece", 0.03, 0.02, (0.01, 0.05), True),
        ("selection_rate", 0.3, 0.1, (0.2, 0.4), None),
        ("positive_rate", 0.3, 0.1, (0.2, 0.4), None),
    ],
)
def test_what_is_flagged(metric, difference, previous, bounds, expected):
    assert releases.is_flagged(metric, difference, previous, bounds) is expected


# --- Tables --------------------------------------------------------------------------------------

SETTINGS = {"performance_windows_days": [7], "min_samples": 50, "min_samples_per_class": 10}
RELEASE = {
    "model_name": "churn",
    "model_version": "v2",
    "previous_version": "v1",
    "released_at": datetime(2024, 3, 8),
    "previous_start": date(2024, 3, 1),
    "previous_end": date(2024, 3, 8),
    "window_start": date(2024, 3, 8),
    "task": "binary_classification",
    "label_grace_hours": 0.0,
    "min_label_coverage": 0.5,
}
# Score bins of a tenth each, which are the calibration bins too.
CALIBRATION_BINS = np.arange(10)


@dataclass
class Request:
    day: int
    plan: str
    country: str
    latency: float
    is_error: bool
    number: int
    label: int

    @property
    def cell(self):
        return (self.plan, self.country)

    @property
    def score(self):
        return self.number / 10 + 0.05


def make(rng, days, n, shares, latency, *, error=0.0, tilt=0.0):
    """Requests whose latency, score and label hang on their plan and country."""
    cells = list(shares)
    found = []
    for day in days:
        for index in rng.choice(len(cells), n, p=list(shares.values())):
            plan, country = cells[index]
            scale = latency * (3 if plan == "slow" else 1)
            number = int(rng.integers(0, 10))
            sharpness = 0.3 if plan == "slow" else 1.0
            chance = 0.5 + sharpness * (number / 10 + 0.05 - 0.5) + tilt
            found.append(
                Request(
                    day,
                    plan,
                    country,
                    float(np.exp(rng.normal(np.log(scale), 0.4))),
                    bool(rng.random() < error + (0.05 if plan == "slow" else 0)),
                    number,
                    int(rng.random() < chance),
                )
            )
    return found


def as_tables(requests):
    """What the SQL makes of them."""
    service, labels = defaultdict(list), defaultdict(list)
    for part in requests:
        pairs = (("all", "all"), ("plan", part.plan), ("country", part.country))
        text = json.dumps([{"slice_key": k, "slice_value": v} for k, v in pairs])
        service[part.day, text].append(part)
        labels[part.day, text, part.number].append(part)
    start = np.datetime64("2024-03-01")
    service_rows = [
        {
            "event_date": (start + day).item(),
            "mix_cell": text,
            "request_count": len(group),
            "error_count": sum(part.is_error for part in group),
            "latency_count": len(group),
            "slow_count": sum(part.latency > 150 for part in group),
            "latency_sum_ms": sum(part.latency for part in group),
            "latency_histogram": list(
                Counter(int(np.ceil(np.log(p.latency) / np.log(1.04))) for p in group).items()
            ),
        }
        for (day, text), group in sorted(service.items())
    ]
    label_rows = []
    for (day, text, number), group in sorted(labels.items()):
        predicted = int(number >= 5)
        positives = sum(part.label for part in group)
        errors = [(part.score - part.label) ** 2 for part in group]
        counts = {(1, 1): 0, (0, 1): 0, (1, 0): 0, (0, 0): 0}
        counts[1, predicted] = positives
        counts[0, predicted] = len(group) - positives
        label_rows.append(
            {
                "event_date": (start + day).item(),
                "mix_cell": text,
                "score_bin": number,
                "known_on": (start + day + 1).item(),
                "replaced_on": None,
                "labeled_count": len(group),
                "positive_count": positives,
                "true_positive_count": counts[1, 1],
                "false_positive_count": counts[0, 1],
                "true_negative_count": counts[0, 0],
                "false_negative_count": counts[1, 0],
                "score_sum": round(sum(part.score for part in group) / UNIT),
                "squared_error_sum": round(sum(errors) / UNIT),
                "squared_error_square_sum": round(sum(x**2 for x in errors) / UNIT),
            }
        )
    count = pa.int64()
    service_schema = pa.schema(
        {
            "event_date": pa.date32(),
            "mix_cell": pa.string(),
            **dict.fromkeys(["request_count", "error_count", "latency_count", "slow_count"], count),
            "latency_sum_ms": pa.float64(),
            "latency_histogram": pa.map_(pa.int32(), count),
        }
    )
    names = [
        "labeled_count", "positive_count", "true_positive_count", "false_positive_count",
        "true_negative_count", "false_negative_count", "score_sum", "squared_error_sum",
        "squared_error_square_sum",
    ]  # fmt: skip
    label_schema = pa.schema(
        {
            "event_date": pa.date32(),
            "mix_cell": pa.string(),
            "score_bin": pa.int32(),
            "known_on": pa.date32(),
            "replaced_on": pa.date32(),
            **dict.fromkeys(names, count),
        }
    )
    return (
        pa.Table.from_pylist(service_rows, service_schema),
        pa.Table.from_pylist(label_rows, label_schema),
    )


def compare(before, after, **changes):
    (service_before, labels_before), (service, labels) = as_tables(before), as_tables(after)
    table = release_table(
        RELEASE | changes,
        (service_before, service),
        (labels_before, labels),
        CALIBRATION_BINS,
        as_of=datetime(2024, 4, 1),
        settings=SETTINGS,
    )
    return {
        (row["slice_key"], row["slice_value"], row["metric"]): row
        for row in table.to_pylist()
        if row["label_view"] in (None, "latest")
    }


BASE = {("fast", "de"): 0.4, ("fast", "fr"): 0.3, ("slow", "de"): 0.1, ("slow", "fr"): 0.2}
MOVED = {("fast", "de"): 0.1, ("fast", "fr"): 0.2, ("slow", "de"): 0.4, ("slow", "fr"): 0.3}


def sliced(requests, key, value):
    if key == "all":
        return requests
    return [part for part in requests if getattr(part, key) == value]


def plain(metric, part, weight):
    """A metric of weighted requests."""
    label = np.array([p.label for p in part])
    score = np.array([p.score for p in part])
    predicted = score >= 0.5
    latency = np.array([p.latency for p in part])
    if metric == "roc_auc":
        return roc_auc_score(label, score, sample_weight=weight)
    if metric == "ece":
        number = np.array([p.number for p in part])
        gaps = [np.sum((weight * (score - label))[number == b]) for b in range(10)]
        return np.sum(np.abs(gaps)) / weight.sum()
    if metric.startswith("latency_p"):
        q = int(metric[9:11]) / 100
        return np.quantile(latency, q, weights=weight, method="inverted_cdf")
    among, values = {
        "latency_mean_ms": (1, latency),
        "error_rate": (1, [p.is_error for p in part]),
        "slow_rate": (1, latency > 150),
        "accuracy": (1, predicted == label),
        "selection_rate": (1, predicted),
        "positive_rate": (1, label),
        "brier_score": (1, (score - label) ** 2),
        "true_positive_rate": (label == 1, predicted),
        "false_positive_rate": (label == 0, predicted),
        "precision": (predicted, label),
    }[metric]
    weight = weight * np.asarray(among)
    return np.sum(weight * np.asarray(values, float)) / weight.sum()


METRICS = [
    "latency_mean_ms", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "error_rate",
    "slow_rate", "accuracy", "selection_rate", "positive_rate", "brier_score",
    "true_positive_rate", "false_positive_rate", "precision", "roc_auc", "ece",
]  # fmt: skip


def values_of(metric, part):
    if metric == "latency_mean_ms":
        return np.array([p.latency for p in part])
    return np.array([float((p.number >= 5) == p.label) for p in part])


def day_effect(x, weight, day):
    """How many times the variance of a weighted mean is that of independent members."""
    mean = np.average(x, weights=weight)
    adds = [np.sum((weight * (x - mean))[day == d]) / weight.sum() for d in np.unique(day)]
    n = len(adds)
    return max(1.0, n / (n - 1) * np.sum(np.square(adds)) / sandwich(x, weight))


def by_hand(metric, old, kept, new, weight):
    """Interval of the adjusted difference of a mean or share."""
    x, ones = values_of(metric, old), np.ones(len(old))
    reference = day_effect(x, ones, np.array([p.day for p in old]))
    x_new = values_of(metric, new)
    own = day_effect(x_new, weight, np.array([p.day for p in new]))
    student = stats.t.ppf(0.975, 6) / stats.norm.ppf(0.975)
    sides = []
    for x, w, effect in (
        (x_new, weight, max(reference, own)),
        (values_of(metric, kept), np.ones(len(kept)), reference),
    ):
        mean, variance, z = np.average(x, weights=w), sandwich(x, w), stats.norm.ppf(0.975)
        if metric == "latency_mean_ms":
            reach = z * student * np.sqrt(effect * variance)
            low, high = mean - reach, mean + reach
        else:
            n = min(w.sum() ** 2 / np.sum(w**2), mean * (1 - mean) / variance)
            n /= effect * student**2
            middle = (mean + z**2 / (2 * n)) / (1 + z**2 / n)
            reach = z * np.sqrt(mean * (1 - mean) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
            low, high = middle - reach, middle + reach
        sides.append((mean, low, high))
    (a, low_a, high_a), (b, low_b, high_b) = sides
    return (
        a - b - np.sqrt((a - low_a) ** 2 + (high_b - b) ** 2),
        a - b + np.sqrt((high_a - a) ** 2 + (b - low_b) ** 2),
        max(reference, own),
    )


def test_every_metric_is_that_of_reweighted_requests():
    rng = np.random.default_rng(1)
    # One combination is gone and another is new.
    before = make(rng, range(7), 120, BASE | {("fast", "de"): 0.3, ("gone", "de"): 0.1}, 50)
    after = make(rng, range(7, 14), 150, MOVED | {("slow", "fr"): 0.2, ("new", "fr"): 0.1}, 55)
    rows = compare(before, after)
    for key, value in (("all", "all"), ("country", "fr"), ("plan", "slow"), ("country", "de")):
        old, new = sliced(before, key, value), sliced(after, key, value)
        counts_old, counts_new = (Counter(p.cell for p in part) for part in (old, new))
        kept = [p for p in old if p.cell in counts_new]
        weight = np.array([counts_old[p.cell] / counts_new[p.cell] for p in new])
        for metric in METRICS:
            row = rows[key, value, metric]
            expected = {
                "previous_value": plain(metric, old, np.ones(len(old))),
                "value": plain(metric, new, np.ones(len(new))),
                "comparable_previous_value": plain(metric, kept, np.ones(len(kept))),
                "adjusted_value": plain(metric, new, weight),
            }
            tolerance = 0.04 if metric.startswith("latency_p") else 1e-6
            for name, number in expected.items():
                assert row[name] == pytest.approx(number, rel=tolerance, abs=1e-9), (row, name)
            assert row["mix_coverage"] == pytest.approx(len(kept) / len(old))
            assert row["adjusted_difference"] == pytest.approx(
                row["adjusted_value"] - row["comparable_previous_value"]
            )
            if row["adjusted_status"] == "not_estimable":
                assert metric == "latency_p99_ms"
            else:
                assert row["lower"] < row["adjusted_difference"] < row["upper"]
            assert row["previous_day_count"] == row["day_count"] == 7
            if metric in ("latency_mean_ms", "accuracy"):
                expected = by_hand(metric, old, kept, new, weight)
                # The variance of latencies is that of their bins.
                tolerance = 0.01 if metric == "latency_mean_ms" else 1e-9
                tolerance *= expected[1] - expected[0]
                found = (row["lower"], row["upper"], row["design_effect"])
                assert found == pytest.approx(expected, abs=tolerance), (row, expected)
    assert rows["all", "all", "error_rate"]["mix_slice_keys"] == "plan, country"
    assert rows["plan", "slow", "error_rate"]["mix_slice_keys"] == "country"
    volume = rows["all", "all", "requests_per_minute"]
    assert volume["value"] == pytest.approx(150 / 1440)
    assert volume["adjusted_status"] == "not_applicable"
    # Nothing to compare with, and nothing that is compared.
    assert rows["plan", "new", "error_rate"]["data_status"] == "no_baseline"
    assert rows["plan", "gone", "error_rate"]["data_status"] == "no_data"
    assert rows["plan", "gone", "requests_per_minute"]["data_status"] == "no_data"


def test_a_mix_that_moves_is_no_change():
    """The raw metrics move much; the adjusted ones are inside their interval as often as said."""
    rng = np.random.default_rng(2)
    inside, changes, adjusted = Counter(), [], []
    flags, runs = 0, 25
    for _ in range(runs):
        rows = compare(make(rng, range(7), 120, BASE, 50), make(rng, range(7, 14), 120, MOVED, 50))
        for metric in METRICS:
            row = rows["all", "all", metric]
            if metric == "latency_p99_ms":
                # Of 840 requests it has no bounds where days differ by chance.
                continue
            inside[metric] += row["lower"] <= 0 <= row["upper"]
            flags += bool(row["is_flagged"])
        mean = rows["all", "all", "latency_mean_ms"]
        assert mean["relative_change"] > 0.3
        assert abs(mean["adjusted_relative_change"]) < 0.15
        changes.append(rows["all", "all", "roc_auc"]["difference"])
        adjusted.append(rows["all", "all", "roc_auc"]["adjusted_difference"])
    assert np.mean(changes) < -0.05
    assert abs(np.mean(adjusted)) < 0.015
    assert min(inside.values()) >= 0.8 * runs, inside
    assert sum(inside.values()) >= 0.93 * runs * (len(METRICS) - 1), inside
    assert flags <= 0.03 * runs * len(METRICS)


def test_planted_latency_is_flagged_from_twenty_per_cent_on():
    rng = np.random.default_rng(3)
    flags = {1.1: 0, 1.3: 0}
    for factor in flags:
        for _ in range(10):
            before = make(rng, range(7), 300, BASE, 50)
            rows = compare(before, make(rng, range(7, 14), 300, MOVED, 50 * factor))
            row = rows["all", "all", "latency_p95_ms"]
            # What the mix alone does to the p95 is far more.
            assert row["relative_change"] > 0.3
            flags[factor] += row["is_flagged"]
    assert flags[1.3] >= 9
    assert flags[1.1] == 0


def test_days_that_differ_by_themselves_are_no_change():
    """Intervals of independent requests would leave 0 out in most runs."""
    rng = np.random.default_rng(4)
    outside, runs = Counter(), 60
    for _ in range(runs):
        sides = [
            [
                part
                for day in days
                for part in make(rng, [day], 120, BASE, 50 * np.exp(rng.normal(0, 0.15)),
                                 tilt=rng.normal(0, 0.12))
            ]
            for days in (range(7), range(7, 14))
        ]  # fmt: skip
        rows = compare(*sides)
        for metric in ("latency_mean_ms", "latency_p95_ms", "accuracy", "positive_rate"):
            row = rows["all", "all", metric]
            outside[metric] += not row["lower"] <= 0 <= row["upper"]
            assert row["design_effect"] >= 1
    assert max(outside.values()) <= 0.15 * runs, outside


def test_one_day_of_few_requests_flags_no_quantiles():
    """With the largest latency as a bound, a quarter of such days had a p99 that is flagged."""
    rng = np.random.default_rng(11)
    flags, runs = Counter(), 40
    for _ in range(runs):
        sides = [make(rng, days, 60, BASE, 50) for days in (range(7), range(7, 8))]
        (before, labels_before), (after, labels) = map(as_tables, sides)
        table = release_table(
            RELEASE, (before, after), (labels_before, labels), CALIBRATION_BINS,
            as_of=datetime(2024, 4, 1), settings=SETTINGS | {"performance_windows_days": [1]},
        )  # fmt: skip
        for row in table.to_pylist():
            if row["slice_key"] == "all":
                flags[row["metric"]] += bool(row["is_flagged"])
                assert row["window_size"] == "1d"
                if row["metric"] == "latency_p99_ms":
                    assert row["adjusted_status"] == "not_estimable"
                    assert row["adjusted_value"] is not None
    assert max(flags.values()) <= 0.1 * runs, flags


def test_labels_count_from_when_they_were_known():
    rng = np.random.default_rng(12)
    before, after = make(rng, range(7), 120, BASE, 50), make(rng, range(7, 14), 120, BASE, 50)
    (service_before, labels_before), (service, labels) = as_tables(before), as_tables(after)

    def dated(table, name, day, rows):
        dates = table[name].to_pylist()
        dates[:rows] = [day] * rows
        position = table.schema.get_field_index(name)
        return table.set_column(position, name, pa.array(dates, pa.date32()))

    def labelled(label_table, view):
        table = release_table(
            RELEASE, (service_before, service), (labels_before, label_table), CALIBRATION_BINS,
            as_of=datetime(2024, 4, 1), settings=SETTINGS,
        )  # fmt: skip
        (row,) = [
            row for row in table.to_pylist()
            if (row["slice_key"], row["metric"], row["label_view"]) == ("all", "accuracy", view)
        ]  # fmt: skip
        return row["sample_count"]

    first = sum(labels["labeled_count"].to_pylist()[:9])
    # The window ends on the 15th: known on that midnight counts, a day later does not.
    for name, day, as_known, latest in (
        ("known_on", date(2024, 3, 15), 0, 0),
        ("known_on", date(2024, 3, 16), first, 0),
        ("replaced_on", date(2024, 3, 15), first, first),
        ("replaced_on", date(2024, 3, 16), 0, first),
    ):
        table = dated(labels, name, day, 9)
        assert labelled(table, "as_known") == 840 - as_known, (name, day)
        assert labelled(table, "latest") == 840 - latest, (name, day)


def test_statuses():
    rng = np.random.default_rng(6)
    before, after = make(rng, range(7), 120, BASE, 50), make(rng, range(7, 14), 120, BASE, 50)
    nobody = compare(before, [])
    assert nobody["all", "all", "latency_p95_ms"]["data_status"] == "no_data"
    assert nobody["all", "all", "roc_auc"]["data_status"] == "no_data"
    assert compare([], after)["all", "all", "error_rate"]["data_status"] == "no_baseline"
    assert compare([], []) == {}
    # Too few days to know how days differ.
    short = [part for part in before if part.day >= 3]
    row = compare(short, after)["all", "all", "error_rate"]
    assert (row["data_status"], row["adjusted_status"]) == ("ok", "insufficient_data")
    assert row["adjusted_difference"] is not None
    assert row["lower"] is row["is_flagged"] is None
    # Hardly any of the old traffic has its like.
    other = [part for part in after if part.cell != ("fast", "de")]
    moved = compare([part for part in before if part.cell == ("fast", "de")] + before[:60], other)
    row = moved["all", "all", "error_rate"]
    assert row["mix_coverage"] < 0.5
    assert (row["data_status"], row["adjusted_status"]) == ("ok", "insufficient_data")
    assert row["adjusted_value"] is None
    # A single class.
    for part in after:
        part.label = 0
    single = compare(before, after)
    assert single["all", "all", "roc_auc"]["data_status"] == "single_class"
    assert single["all", "all", "true_positive_rate"]["data_status"] == "single_class"
    assert single["all", "all", "accuracy"]["data_status"] == "ok"
    # Of other tasks there are only service metrics.
    regression = compare(before, after, task="regression")
    assert ("all", "all", "roc_auc") not in regression
    assert regression["all", "all", "latency_p95_ms"]["data_status"] == "ok"


def test_labels_that_are_missing_make_it_immature():
    rng = np.random.default_rng(7)
    before, after = make(rng, range(7), 120, BASE, 50), make(rng, range(7, 14), 120, BASE, 50)
    (service_before, labels_before), (service, labels) = as_tables(before), as_tables(after)
    found = {}
    for name, as_of, known in (
        ("growing", datetime(2024, 3, 15), labels),
        ("known", datetime(2024, 3, 17), labels),
        ("few", datetime(2024, 3, 17), labels.slice(0, len(labels) // 4)),
    ):
        table = release_table(
            RELEASE | {"label_grace_hours": 48.0},
            (service_before, service),
            (labels_before, known),
            CALIBRATION_BINS,
            as_of=as_of,
            settings=SETTINGS,
        )
        found[name] = {
            row["label_view"]: row["data_status"]
            for row in table.to_pylist()
            if row["metric"] == "accuracy" and row["slice_key"] == "all"
        }
    assert found == {
        "growing": {"as_known": "immature", "latest": "ok"},
        "known": {"as_known": "ok", "latest": "ok"},
        "few": {"as_known": "immature", "latest": "immature"},
    }


def test_a_window_that_is_not_over_has_no_rows():
    rng = np.random.default_rng(8)
    tables = [as_tables(make(rng, days, 60, BASE, 50)) for days in (range(7), range(7, 13))]
    table = release_table(
        RELEASE,
        (tables[0][0], tables[1][0]),
        (tables[0][1], tables[1][1]),
        CALIBRATION_BINS,
        as_of=datetime(2024, 3, 14, 23),
        settings=SETTINGS,
    )
    assert len(table) == 0
