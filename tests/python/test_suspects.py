"""Suspects: the rule on numbers, and on rows of counts."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import suspect_tables
import suspects
from suspect_tables import MEASURES, RUNBOOKS, UNIT, suspects_table

PROJECT = Path(__file__).parents[2]
HOUR = datetime(2024, 1, 10, 12)
FINITE = st.floats(-1e12, 1e12)


def test_compare_by_hand():
    """Median 10 and deviation 1.4826 of the periods; the rest is arithmetic."""
    found = suspects.compare(20.0, np.array([10.0, 9, 11, 12, 8, 10, np.nan]))
    spread = stats.median_abs_deviation([10, 9, 11, 12, 8, 10], scale="normal")
    assert (found.before, found.lowest, found.highest) == (10, 8, 12)
    assert found.deviations == pytest.approx(10 / spread, rel=1e-4)
    assert (found.size, found.fit) == (0.5, 1)
    assert found.score == pytest.approx(0.5 * (1 - np.exp(-(10 / spread - 2) / 4)), rel=1e-4)


def test_what_comes_every_few_days_is_normal():
    """A value that was reached twice in the periods before is within two deviations."""
    before = np.array([0.0, 40, 0, 0, 41, 0, 0])
    assert suspects.compare(40.0, before).score == 0
    # One incident before does not hide the next.
    assert suspects.compare(40.0, np.array([0.0, 0, 0, 41, 0, 0, 0]), floor=1.0).score > 0.9


def test_what_was_so_before_fits_less():
    """Halved for each period in a row that was more than half way there."""
    steady = np.array([10.0] * 4)
    fits = [
        suspects.compare(20.0, np.concatenate([[16.0] * n, steady]), floor=1).fit for n in range(4)
    ]
    assert fits == [1, 0.5, 0.25, 0.125]


def test_direction():
    """A fall of what should arrive, and no suspicion of a rise."""
    before = np.array([50.0, 51, 49])
    assert suspects.compare(0.0, before, direction=-1).score > 0.9
    assert suspects.compare(90.0, before, direction=-1).score == 0
    assert suspects.compare(90.0, before).score > 0.3
    assert suspects.compare(0.0, before).score == 0


@given(FINITE, st.lists(st.one_of(FINITE, st.just(np.nan)), max_size=9), st.sampled_from([1, -1]),
       st.floats(0, 1e6))  # fmt: skip
def test_always_a_score(now, before, direction, floor):
    """Whatever the numbers: from 0 to 1, or nothing where too little is known."""
    found = suspects.compare(now, np.array(before, float), direction=direction, floor=floor)
    if np.isfinite(before).sum() < suspects.LEAST_PERIODS:
        assert found is None
        return
    for value in (found.size, found.fit, found.score):
        assert 0 <= value <= 1
    assert np.isfinite(found.deviations)
    if direction * (now - found.before) <= 0:
        assert found.score == 0


@given(st.integers(1, 2000), st.integers(0, 2000))
def test_proportion_error(trials, successes):
    """As of a binomial proportion with one success and failure more."""
    p = (min(successes, trials) + 1) / (trials + 2)
    found = suspects.proportion_error(min(successes, trials), trials, 50)
    assert found == pytest.approx(stats.binom(50, p).std() / 50)


@pytest.mark.parametrize(
    ("metric", "family"),
    [
        ("latency_p95_ms", "latency"), ("inference_time_p50_ms", "latency"),
        ("slow_rate", "latency"), ("error_rate", "errors"),
        ("requests_vs_week_before", "traffic"), ("psi", "inputs"),
        ("request_count", "traffic"), ("label_delay_p95_hours", "label feed"),
        ("label_correction_rate", "label corrections"), ("roc_auc", "performance"),
        ("cost_of_errors", "performance"), ("latency", "performance"),
    ],
)  # fmt: skip
def test_families(metric, family):
    """A name is in a family as a whole, or by a beginning with an underscore."""
    assert suspects.family_of(metric) == family


def test_tables_fit_each_other():
    """Weights are of kinds and families that there are; runbooks exist; weights are in [0, 1]."""
    kinds = set(suspect_tables.KINDS)
    assert set(suspects.WEIGHTS) == {*suspects.FAMILIES, "performance"}
    for family, weights in suspects.WEIGHTS.items():
        assert set(weights) <= kinds, family
        assert all(0 < weight <= 1 for weight in weights.values())
        assert max(weights.values()) == 1
    assert set(RUNBOOKS) == kinds
    for name in filter(None, RUNBOOKS.values()):
        assert (PROJECT / "docs" / "runbooks" / f"{name}.md").is_file()
    macro = (PROJECT / "macros" / "alerting" / "least_suspect_score.sql").read_text()
    assert f"return({suspects.LEAST_SCORE})" in macro


# --- Rows of counts


def alert(**changes):
    return {
        "alert_id": "a1", "model_name": "churn", "model_version": "v1", "role": "live",
        "metric": "latency_p95_ms", "feature": None, "started_at": HOUR,
        "event_from": HOUR, "event_to": HOUR + timedelta(hours=1), "runbook": "r.md",
    } | changes  # fmt: skip


def count(measure, suspect, values, *, span="whole", alert_id="a1", detail=None):
    """Rows of a suspect: (numerator, denominator) of the breach and the periods before."""
    return [
        {"alert_id": alert_id, "measure": measure, "suspect": suspect, "span": span,
         "period_number": number, "bin": HOUR if number == 0 else None,
         "numerator": numerator, "denominator": denominator,
         "detail": None if number else detail}
        for number, (numerator, denominator) in enumerate(values)
    ]  # fmt: skip


def ranked(alerts, counts, **others):
    given_rows = {"deployments": [], "importances": [], "contributions": []} | others
    return suspects_table(alerts, counts, **given_rows).to_pylist()


SLOW = count("upstream_latency", "api", [(900 * UNIT, 3)] + [(90 * UNIT, 3)] * 7)
STEADY = count("inference_time", "inference time of the model", [(60 * UNIT, 3)] * 8)


def test_what_changed_is_first():
    """The upstream that is slower, with its figures; the model, as fast as ever, scores 0."""
    first, second = ranked([alert()], [*SLOW, *STEADY])
    assert (first["suspect_kind"], first["suspect"], first["started_at"]) == (
        "upstream",
        "api",
        HOUR,
    )
    assert first["evidence"] == (
        "answered in 300 ms on average; median of the 7 periods of the same hours before 30 ms"
        " (30 ms to 30 ms)"
    )
    assert first["score"] > 0.8
    assert (second["suspect_kind"], second["score"], second["started_at"]) == (
        "latency_of_model", 0, None
    )  # fmt: skip
    assert [first["suspect_rank"], second["suspect_rank"]] == [1, 2]


def test_the_metric_decides_what_matters():
    """The same change explains an alert on labels far less."""
    (slow,) = ranked([alert()], SLOW)
    (other,) = ranked([alert(metric="label_coverage")], SLOW)
    assert other["score"] == pytest.approx(slow["score"] * suspects.DEFAULT_WEIGHT, abs=1e-6)


def test_shares_of_another_measure():
    """Flags are counted among requests; a flag that was not set before counts as 0 then."""
    base = count("requests", "requests", [(100, 1)] * 8)
    flag = count("preprocessing", "stale", [(60, None)])
    (_, found) = sorted(ranked([alert()], [*base, *flag]), key=lambda row: row["score"])
    assert found["evidence"].startswith("set in 60 % of the requests; median of the 7 periods")
    assert "before 0 % (0 % to 0 %)" in found["evidence"]
    # Without what it is a share of nothing can be said.
    assert not ranked([alert()], flag)


def test_the_better_span_counts():
    """What is only in the last part of a long window is found there."""
    whole = count("upstream_latency", "api", [(120 * UNIT, 3)] + [(90 * UNIT, 3)] * 7)
    last = count("upstream_latency", "api", [(900 * UNIT, 3)] + [(90 * UNIT, 3)] * 7, span="last")
    (found,) = ranked([alert()], [*whole, *last])
    assert "300 ms" in found["evidence"]


def test_features_by_what_the_model_depends_on():
    """Drift of a feature that the model uses is suspected before that of one that it does not."""
    drifted = [(3 * UNIT, 1)] + [(UNIT // 10, 1)] * 14
    counts = [*count("feature_drift", "used", drifted), *count("feature_drift", "unused", drifted)]
    known = [
        {"model_name": "churn", "model_version": "v1", "feature": name, "weight": weight}
        for name, weight in (("used", 1.0), ("unused", 0.0))
    ]
    first, second = ranked([alert(metric="roc_auc")], counts, importances=known)
    assert (first["suspect"], second["suspect"]) == ("used", "unused")
    assert second["score"] == pytest.approx(first["score"] * 0.2, abs=1e-6)
    # Where that is not known, both are alike.
    assert len({row["score"] for row in ranked([alert(metric="roc_auc")], counts)}) == 1
    # Of a metric of one feature another one explains little, whatever the model does with it.
    own, other = ranked([alert(metric="psi", feature="unused")], counts, importances=known)
    assert (own["suspect"], other["suspect"]) == ("unused", "used")


def test_releases():
    """Near is more than far, one of another role less, one after the breach or long ago nothing."""

    def release(hours, **changes):
        row = {"model_name": "churn", "model_version": "v2", "role": "live",
               "deployed_from": HOUR - timedelta(hours=hours), "deployed_to": None}  # fmt: skip
        found = ranked([alert()], [], deployments=[row | changes])
        return found[0]["score"] if found else None

    assert release(0) == 0.8
    assert release(6) == pytest.approx(0.4)
    assert release(0, role="shadow") == pytest.approx(0.16)
    assert release(25) is None
    assert release(-2) is None
    assert release(0, model_name="price") is None
    (ended,) = ranked([alert()], [], deployments=[
        {"model_name": "churn", "model_version": "v1", "role": "live",
         "deployed_from": HOUR - timedelta(days=90), "deployed_to": HOUR}
    ])  # fmt: skip
    assert ended["suspect"] == "v1 ended being live"
    # Where another version takes over, it is one release.
    v1 = {"model_name": "churn", "model_version": "v1", "role": "live",
          "deployed_from": HOUR - timedelta(days=90), "deployed_to": HOUR}  # fmt: skip
    v2 = v1 | {"model_version": "v2", "deployed_from": HOUR, "deployed_to": None}
    assert [row["suspect"] for row in ranked([alert()], [], deployments=[v1, v2])] == [
        "v2 went live"
    ]


def test_slices():
    """What a slice carries beyond its share; none where that is not known."""
    rows = [
        {"alert_id": "a1", "slice_key": "plan", "slice_value": "pro", "share": 0.2,
         "contribution_share": 0.9, "zscore": 30.0},
        {"alert_id": "a1", "slice_key": "plan", "slice_value": "basic", "share": 0.8,
         "contribution_share": 0.1, "zscore": 30.0},
        {"alert_id": "a1", "slice_key": "plan", "slice_value": "x", "share": None,
         "contribution_share": None, "zscore": None},
    ]  # fmt: skip
    first, second = ranked([alert()], [], contributions=rows)
    assert (first["slice_key"], first["slice_value"]) == ("plan", "pro")
    assert first["score"] == pytest.approx(0.4 * 0.7, abs=0.001)
    assert second["score"] == 0
    assert first["runbook"] == "r.md"


@given(st.data())
def test_never_crashes(data):
    """Any counts, none among them: scores from 0 to 1, ranks without gaps, no NaN."""
    numbers = st.one_of(st.none(), st.integers(0, 10**18))
    counts = []
    for name in data.draw(st.lists(st.sampled_from([*MEASURES, "lines", "?"]), max_size=6)):
        values = data.draw(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=9))
        counts += count(name, data.draw(st.text(max_size=5)), values)
    metric = data.draw(st.sampled_from(["psi", "roc_auc", "error_rate", "label_coverage"]))
    found = ranked(
        [alert(metric=metric, feature=data.draw(st.sampled_from([None, "age"])))], counts
    )
    assert [row["suspect_rank"] for row in found] == list(range(1, len(found) + 1))
    for row in found:
        assert 0 <= row["score"] <= 1
        assert "nan" not in row["evidence"].replace(row["suspect"], "")
        assert "inf" not in row["evidence"].replace(row["suspect"], "")
