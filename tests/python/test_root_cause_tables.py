"""Contributions from small relations in memory: what is missing, nasty names, any order of rows."""

import random
from datetime import date, datetime, timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import root_cause_tables
from latency import bin_values

HOUR = datetime(2024, 1, 1, 5)
BEFORE, NOW = (
    (HOUR, HOUR + timedelta(hours=1)),
    (HOUR + timedelta(days=1), HOUR + timedelta(hours=25)),
)
NAMES = ("slice_key", "slice_value", "first_key", "first_value", "second_key", "second_value")
SERVICE = pa.schema(
    [pa.field(name, pa.string()) for name in ("model_name", "model_version", "role", *NAMES)]
    + [pa.field("event_hour", pa.timestamp("us"))]
    + [
        pa.field(name, pa.int64())
        for name in ("request_count", "error_count", "latency_count", "slow_count", "latency_sum")
    ]
    + [pa.field("latency_histogram", pa.map_(pa.int32(), pa.int64()))]
)
COUNTS = ("labeled_count", "positive_count", "true_positive_count", "false_positive_count",
          "true_negative_count", "false_negative_count")  # fmt: skip
SUMS = ("score_sum", "variance_sum", "squared_error_sum", "squared_error_square_sum",
        "log_loss_sum", "log_loss_square_sum")  # fmt: skip
LABELS = pa.schema(
    [pa.field(name, pa.string()) for name in ("model_name", "model_version", "role", *NAMES)]
    + [pa.field(name, pa.date32()) for name in ("event_date", "known_on", "replaced_on")]
    + [pa.field("score_bin", pa.int32())]
    + [pa.field(name, pa.int64()) for name in (*COUNTS, *SUMS)]
)
ABOUT = {"model_name": "m", "model_version": "1", "role": "live"}


def hour_row(slice_key, slice_value, hour, requests, errors, *, slow=0, bins=None, **sides):
    return ABOUT | dict.fromkeys(NAMES) | {
        "slice_key": slice_key,
        "slice_value": slice_value,
        "event_hour": hour,
        "request_count": requests,
        "error_count": errors,
        "latency_count": requests,
        "slow_count": slow,
        "latency_sum": requests << 20,
        "latency_histogram": list((bins or {1: requests}).items()),
    } | sides  # fmt: skip


def pair_row(values, hour, requests, errors, keys=("a", "b")):
    return hour_row(
        " x ".join(keys), " x ".join(values), hour, requests, errors,
        first_key=keys[0], first_value=values[0], second_key=keys[1], second_value=values[1],
    )  # fmt: skip


def label_row(slice_key, slice_value, day, score_bin, negatives, positives, **more):
    labeled = negatives + positives
    return ABOUT | dict.fromkeys(NAMES) | {
        "slice_key": slice_key,
        "slice_value": slice_value,
        "event_date": day,
        "known_on": day + timedelta(days=1),
        "replaced_on": None,
        "score_bin": score_bin,
        "labeled_count": labeled,
        "positive_count": positives,
        "true_positive_count": positives,
        "false_positive_count": negatives,
        "true_negative_count": 0,
        "false_negative_count": 0,
        **dict.fromkeys(SUMS, labeled << 28),
    } | more  # fmt: skip


def ask(metric, rows=(), pairs=(), labels=(), *, threads=1, windows=(BEFORE, NOW), **more):
    with duckdb.connect() as connection:
        connection.execute(f"set threads = {threads}")
        tables = {
            "service_hours": pa.Table.from_pylist(list(rows), SERVICE).select(
                [name for name in SERVICE.names if name not in NAMES[2:]]
            ),
            "pair_hours": pa.Table.from_pylist(list(pairs), SERVICE),
            "labelled_days": pa.Table.from_pylist(list(labels), LABELS).select(
                [name for name in LABELS.names if name not in NAMES[2:]]
            ),
            "labelled_pairs": LABELS.empty_table(),
            "score_edges": pa.table(
                {"grid": ["coarse", "fine"], "calibration_bins": [[0, 0, 1, 1], [0] * 4 + [1] * 4]}
            ),
            "settings": pa.table({"min_samples": [50], "min_samples_per_class": [10]}),
        }
        for name, table in tables.items():
            connection.register(name, table)
        return root_cause_tables.contributions(
            connection,
            **ABOUT,
            metric=metric,
            reference=windows[0],
            current=windows[1],
            relations={name: name for name in tables},
            **more,
        )


def by_name(table):
    return {(row["slice_key"], row["slice_value"]): row for row in table.to_pylist()}


def both_hours(slice_key, slice_value, before, now):
    return [
        hour_row(slice_key, slice_value, window[0], *counts)
        for window, counts in ((BEFORE, before), (NOW, now))
        if counts
    ]


WHOLE = both_hours("all", "all", (100, 1), (100, 21))
PARTS = both_hours("a", "x", (60, 1), (50, 1)) + both_hours("a", "y", (40, 0), (50, 20))


def test_a_model_without_slices_has_its_change():
    (row,) = ask("error_rate", WHOLE).to_pylist()
    assert (row["slice_key"], row["slice_value"], row["data_status"]) == ("all", "all", "ok")
    assert row["change"] == pytest.approx(0.2)
    assert row["contribution"] is None
    assert row["cause_rank"] is None


def test_a_slice_of_one_side_is_all_mix():
    rows = WHOLE + both_hours("a", "x", (100, 1), (50, 1)) + both_hours("a", "new", None, (50, 20))
    found = by_name(ask("error_rate", rows))
    new = found[("a", "new")]
    assert (new["reference_share"], new["share"], new["within_effect"]) == (0, 0.5, 0)
    assert new["reference_slice_value"] is None
    assert new["slice_metric_value"] == pytest.approx(0.4)
    assert new["contribution"] == pytest.approx(0.5 * (0.4 - (0.01 + 0.21) / 2))
    assert new["contribution"] + found[("a", "x")]["contribution"] == pytest.approx(0.2)
    # Without the old one there is no time before.
    assert found[("a", "x")]["change_without"] is None


def test_a_slice_that_was_configured_later_is_left_out():
    later = both_hours("b", "z", None, (100, 21))
    found = by_name(ask("error_rate", WHOLE + PARTS + later))
    assert set(found) == {("a", "x"), ("a", "y")}


def test_pairs_whose_events_are_gone_are_left_out():
    rows = WHOLE + PARTS + both_hours("b", "z", (100, 1), (100, 21))
    pairs = [pair_row(("x", "z"), NOW[0], 50, 1), pair_row(("y", "z"), NOW[0], 50, 20)]
    assert set(by_name(ask("error_rate", rows, pairs))) == {("a", "x"), ("a", "y"), ("b", "z")}
    pairs += [pair_row(("x", "z"), BEFORE[0], 60, 1), pair_row(("y", "z"), BEFORE[0], 40, 0)]
    found = by_name(ask("error_rate", rows, pairs))
    assert len(found) == 5
    assert found[("a x b", "y x z")]["contribution_kind"] == "slice_pair"
    # It is slice y: nothing is left of that side.
    assert found[("a x b", "y x z")]["contribution"] == found[("a", "y")]["contribution"]
    assert found[("a", "y")]["cause_rank"] == 1


def test_a_pair_that_has_summaries_as_protected_groups_have_is_there_once():
    rows = WHOLE + PARTS + both_hours("b", "z", (100, 1), (100, 21))
    rows += both_hours("a x b", "x x z", (60, 1), (50, 1))
    rows += both_hours("a x b", "y x z", (40, 0), (50, 20))
    pairs = [
        pair_row((value, "z"), window[0], *counts)
        for value, of_sides in (("x", ((60, 1), (50, 1))), ("y", ((40, 0), (50, 20))))
        for window, counts in zip((BEFORE, NOW), of_sides, strict=True)
    ]
    found = ask("error_rate", rows, pairs).to_pylist()
    assert len(found) == 5
    assert sum(row["slice_key"] == "a x b" for row in found) == 2


def test_pairs_that_nobody_could_tell_apart_are_left_out():
    """The values `p x q` and `r`, and `p` and `q x r`: both pairs are called `p x q x r`."""
    rows = (
        WHOLE + both_hours("a", "p", (60, 1), (50, 1)) + both_hours("a", "p x q", (40, 0), (50, 20))
    )
    rows += both_hours("b", "r", (40, 0), (50, 20)) + both_hours("b", "q x r", (60, 1), (50, 1))
    pairs = [
        pair_row(values, window[0], *counts)
        for values, of_sides in (
            (("p", "q x r"), ((60, 1), (50, 1))), (("p x q", "r"), ((40, 0), (50, 20))),
        )
        for window, counts in zip((BEFORE, NOW), of_sides, strict=True)
    ]  # fmt: skip
    assert len(pairs) == 4
    found = ask("error_rate", rows, pairs).to_pylist()
    assert {row["slice_key"] for row in found} == {"a", "b"}
    assert len(found) == 4


@pytest.mark.parametrize(
    "name", ["o'x", 'a "b"', "<script>", "", " ", "日本", "a; drop table t", "%"]
)
def test_names_are_only_names(name):
    rows = WHOLE + both_hours("a", name, (60, 1), (50, 1)) + both_hours("a", "y", (40, 0), (50, 20))
    assert set(by_name(ask("error_rate", rows))) == {("a", name), ("a", "y")}


def test_the_reference_can_be_of_the_same_hours_of_the_day():
    night = [hour_row(row["slice_key"], row["slice_value"], HOUR - timedelta(hours=4), 500, 400)
             for row in PARTS[::2] + WHOLE[:1]]  # fmt: skip
    windows = ((HOUR - timedelta(days=6), NOW[0]), NOW)
    found = ask("error_rate", WHOLE + PARTS + night, windows=windows, is_same_hours=True)
    assert found["reference_value"][0].as_py() == pytest.approx(0.01)
    found = ask("error_rate", WHOLE + PARTS + night, windows=windows)
    assert found["reference_value"][0].as_py() > 0.1


def test_latencies_that_nobody_judged_are_in_no_slow_rate():
    rows = [*WHOLE, *PARTS]
    unjudged = [row | {"slow_count": None} for row in rows if row["event_hour"] == BEFORE[0]]
    judged = [row for row in rows if row["event_hour"] == NOW[0]]
    (row,) = ask("slow_rate", unjudged + judged).to_pylist()
    assert row["data_status"] == "no_baseline"


def test_percentiles_are_of_the_bins_of_slices():
    rows = [
        hour_row("all", "all", BEFORE[0], 100, 0, bins={10: 100}),
        hour_row("all", "all", NOW[0], 100, 0, bins={10: 50, 60: 50}),
        hour_row("a", "x", BEFORE[0], 50, 0, bins={10: 50}),
        hour_row("a", "y", BEFORE[0], 50, 0, bins={10: 50}),
        hour_row("a", "x", NOW[0], 50, 0, bins={10: 50}),
        hour_row("a", "y", NOW[0], 50, 0, bins={60: 50}),
    ]
    found = by_name(ask("latency_p95_ms", rows))
    low, high = bin_values(np.array([10, 60]))
    x, y = found[("a", "x")], found[("a", "y")]
    assert y["change"] == pytest.approx(high - low)
    assert y["contribution"] == pytest.approx(high - low)
    assert x["contribution"] == pytest.approx(0, abs=1e-9)
    assert (y["change_without"], x["change_without"]) == (0, pytest.approx(high - low))
    assert y["cause_rank"] == 1


DAYS = (date(2024, 1, 1), date(2024, 1, 2))
DAY_WINDOWS = tuple((datetime(2024, 1, n), datetime(2024, 1, n + 1)) for n in (1, 2))


def labelled(slice_value, day, score_bin, negatives, positives, **more):
    return [
        label_row("a", slice_value, day, score_bin, negatives, positives, **more),
        label_row("all", "all", day, score_bin, negatives, positives, **more),
    ]


def status_of(labels, metric="roc_auc", **more):
    return ask(metric, labels=labels, windows=DAY_WINDOWS, **more)["data_status"].to_pylist()


def test_statuses_say_why_there_is_nothing():
    full = [labelled("x", day, 1, 60, 60) for day in DAYS]
    assert status_of(full[0] + full[1]) == ["ok"]
    assert status_of(full[0]) == ["no_data"]
    assert status_of(full[1]) == ["no_baseline"]
    assert status_of([]) == ["no_data"]
    assert status_of(full[0] + labelled("x", DAYS[1], 1, 60, 0)) == ["single_class"]
    assert status_of(full[0] + labelled("x", DAYS[1], 1, 60, 9)) == ["insufficient_data"]
    assert status_of(full[0] + labelled("x", DAYS[1], 1, 20, 20)) == ["insufficient_data"]
    assert status_of(full[0] + labelled("x", DAYS[1], 1, 20, 20), "accuracy") == [
        "insufficient_data"
    ]
    # Predictions without a score have an accuracy and no AUC.
    unscored = [labelled("x", day, None, 60, 60) for day in DAYS]
    assert status_of(unscored[0] + unscored[1]) == ["no_data"]
    assert status_of(unscored[0] + unscored[1], "accuracy") == ["ok"]


def test_labels_count_as_they_were_known_after_the_grace():
    labels = labelled("x", DAYS[0], 1, 60, 60) + labelled("x", DAYS[1], 1, 60, 60)
    late = labelled("x", DAYS[1], 1, 0, 500, known_on=date(2024, 1, 4))
    replaced = labelled("x", DAYS[1], 1, 0, 30, replaced_on=date(2024, 1, 3))
    known = labelled("x", DAYS[1], 1, 0, 30, replaced_on=date(2024, 1, 4))
    found = ask("positive_rate", labels=labels + late + replaced + known, windows=DAY_WINDOWS)
    assert found["value"].to_pylist() == [pytest.approx(90 / 150)]


def test_the_reference_can_be_of_any_role():
    """The baseline of a version may be of the time when it was a shadow."""
    shadow = labelled("x", DAYS[0], 1, 60, 60, role="shadow")
    live = labelled("x", DAYS[1], 1, 60, 60)
    assert status_of(shadow + live) == ["no_baseline"]
    assert status_of(shadow + live, reference_role="all") == ["ok"]


@pytest.mark.parametrize("metric", ["roc_auc", "ece", "brier_score"])
def test_the_order_of_rows_and_threads_change_no_bit(metric):
    rng = random.Random(3)
    labels = [
        row
        for value in "pqrs"
        for day in DAYS
        for score_bin in range(4)
        for _ in range(3)
        for row in labelled(value, day, score_bin, rng.randrange(200), rng.randrange(200))
    ]
    first = ask(metric, labels=labels, windows=DAY_WINDOWS)
    for threads in (1, 2, 4):
        rng.shuffle(labels)
        assert ask(metric, labels=labels, windows=DAY_WINDOWS, threads=threads) == first


def test_relations_are_those_of_the_models():
    assert set(root_cause_tables.RELATIONS) >= {
        name for home in root_cause_tables.HOMES.values() for name in home.relations
    }
