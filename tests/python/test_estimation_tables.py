"""Which days and labels go into an estimate, against loops over daily summaries."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from estimation import calibrated_probabilities, estimated_metrics
from estimation_tables import LABELS, estimates_table, lag_of

START = date(2024, 1, 1)
DAYS = 14
SETTINGS = {"estimation_reference_days": 4, "min_samples": 5, "min_samples_per_class": 1}
SERIES = [("v1", "live"), ("v2", "shadow"), ("v2", "live")]
COUNTS = LABELS[-4:]


def day(number):
    return START + timedelta(number)


def summaries(rng, n_bins=4):
    """Random daily summaries of a classifier: predictions and labels."""
    predictions, labels = [], []
    for version, role in SERIES:
        for number in range(DAYS):
            # The version that came later was in shadow at first.
            if (version, role) == ("v2", "live") and number < 8:
                continue
            key = {"model_name": "m", "model_version": version, "role": role}
            key["event_date"] = day(number)
            for place in [None, *range(n_bins)]:
                predictions.append(
                    key
                    | {
                        "score_bin": place,
                        "predicted": None if place is None else int(place > 1),
                        "prediction_count": int(rng.integers(1, 30)),
                    }
                )
                if place is None:
                    continue
                for _ in range(3):
                    known = number + 1 + int(rng.integers(0, 5))
                    replaced = known + int(rng.integers(1, 4)) if rng.random() < 0.3 else None
                    counts = dict(zip(COUNTS, rng.integers(0, 5, 4).tolist(), strict=True))
                    labels.append(
                        key
                        | {"score_bin": place, "known_on": day(known)}
                        | {"replaced_on": None if replaced is None else day(replaced)}
                        | counts
                    )
    return predictions, labels


def tables(predictions, labels):
    schema = {"event_date": pa.date32(), "known_on": pa.date32(), "replaced_on": pa.date32()}
    schema |= {"score_bin": pa.int32(), "predicted": pa.int32()}
    errors = pa.table({name: pa.array([], pa.string()) for name in ("model_name", "model_version")})

    def table_of(rows):
        return pa.table(
            {
                name: pa.array([row[name] for row in rows], schema.get(name))
                for name in (rows[0] if rows else [])
            }
        )

    return table_of(predictions), table_of(labels), errors


def windows(*ends):
    return pa.table(
        {
            "window_end": pa.array(ends, pa.date32()),
            "revision": pa.array(range(len(ends)), pa.uint64()),
        }
    )


def estimated(predictions, labels, ends, *, size, hours=48.0):
    models = [{"model_name": "m", "task": "binary_classification", "label_grace_hours": hours}]
    found = estimates_table(
        *tables(predictions, labels), windows(*ends), size=size, models=models, settings=SETTINGS
    )
    key = ("model_version", "role", "window_end", "metric")
    return {tuple(row[name] for name in key): row for row in found.to_pylist()}


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize(("hours", "lag"), [(0, 0), (1, 1), (24, 1), (48, 2), (49, 3)])
@pytest.mark.parametrize("ends", [range(1, 18), [5, 6, 11, 16]])
def test_days_and_labels_are_those_of_loops(size, hours, lag, ends):
    predictions, labels = summaries(np.random.default_rng(size + 10 * lag))
    found = estimated(predictions, labels, map(day, ends), size=size, hours=hours)
    told = 0
    for end in map(day, ends):
        start = end - timedelta(size)
        for version, role in SERIES:
            inside = [
                row
                for row in predictions
                if (row["model_version"], row["role"]) == (version, role)
                and start <= row["event_date"] < end
            ]
            if not inside:
                assert (version, role, end, "estimated_accuracy") not in found
                continue
            counts, negatives, positives = np.zeros((2, 4), int), np.zeros(4, int), np.zeros(4, int)
            for row in inside:
                if row["score_bin"] is not None:
                    counts[row["predicted"], row["score_bin"]] += row["prediction_count"]
            cut = end - timedelta(lag)
            right = 0
            for row in labels:
                if (
                    row["model_version"] == version
                    and start - timedelta(4) <= row["event_date"] < start
                    and row["known_on"] <= cut
                    and (row["replaced_on"] is None or row["replaced_on"] > cut)
                ):
                    right += row["true_positive_count"] + row["true_negative_count"]
                    place = row["score_bin"]
                    negatives[place] += row["false_positive_count"] + row["true_negative_count"]
                    positives[place] += row["true_positive_count"] + row["false_negative_count"]
            expected = estimated_metrics(counts, calibrated_probabilities(negatives, positives))
            for metric in ("roc_auc", "accuracy", "precision"):
                row = found[version, role, end, f"estimated_{metric}"]
                assert row["window_start"] == start
                assert row["prediction_count"] == counts.sum()
                assert row["reference_labeled_count"] == (negatives + positives).sum()
                if row["data_status"] == "ok":
                    told += 1
                    assert row["value"] == pytest.approx(float(expected[metric]), abs=1e-12)
                    if metric == "accuracy":
                        share = right / (negatives + positives).sum()
                        assert row["reference_value"] == pytest.approx(share)
                else:
                    assert row["value"] is None
    assert told > 20


def test_nothing_that_was_known_later_matters():
    """Labels, and replacements, that came less than the grace before a window's end, or after."""
    predictions, labels = summaries(np.random.default_rng(3))
    end = day(9)
    cut = end - timedelta(2)
    known = [
        row | {"replaced_on": row["replaced_on"] if (row["replaced_on"] or end) <= cut else None}
        for row in labels
        if row["known_on"] <= cut
    ]
    assert len(known) < len(labels)
    for size in (1, 3):
        whole = estimated(predictions, labels, [end], size=size)
        assert whole == estimated(predictions, known, [end], size=size)
        assert "ok" in {row["data_status"] for row in whole.values()}


def test_windows_are_the_same_alone_and_together():
    predictions, labels = summaries(np.random.default_rng(4))
    together = estimated(predictions, labels, [day(n) for n in range(1, 16)], size=3)
    for number in range(1, 16):
        alone = estimated(predictions, labels, [day(number)], size=3)
        for key, row in alone.items():
            assert {**together[key], "revision": 0} == row


@pytest.mark.parametrize(
    ("hours", "days"), [(0.0, 0), (0.5, 1), (24.0, 1), (24.01, 2), (720.0, 30)]
)
def test_lag_is_whole_days(hours, days):
    assert lag_of([{"model_name": "m", "label_grace_hours": hours}], "m") == days
