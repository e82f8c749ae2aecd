"""Features that are timestamps, by their age at the time of the event, against plain Python."""

import random
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from tests.integration.warehouse import MODEL, Warehouse, event

START = datetime(2024, 1, 1, tzinfo=UTC)
ODD = [
    None,
    "1969-07-20T20:17:40Z",  # long before
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",  # long after
    "2024-01-05t10:00:00.5+05:30",
    "2024-01-05 10:00:00",  # no zone
    "2024-01-05",
    "2024-13-05T10:00:00Z",
    "yesterday",
    1704448800,
    True,
]
IS_VALID = [False, True, True, True, True, *[False] * 6]


def records(rng: random.Random) -> list[dict]:
    """Two weeks: the accounts of the second are a month older."""
    made = []
    for number in range(14 * 80):
        day = number // 80
        ts = START + timedelta(days=day, seconds=rng.uniform(0, 86400))
        age = timedelta(hours=rng.gammavariate(2, 300) + (720 if day > 6 else 0))
        zone = timezone(timedelta(hours=rng.choice([0, 0, -7, 5.5])))
        opened: object = (ts - age).astimezone(zone).isoformat()
        if number % 80 < len(ODD):
            opened = ODD[number % 80]
        made.append(
            event(f"r{number}", ts=ts.isoformat(), features={"opened_at": opened, "plan": "pro"})
        )
    return made


def age_of(record: dict) -> float | None:
    """Age in hours, None where the value is no RFC 3339 instant."""
    opened = record["features"]["opened_at"]
    if isinstance(opened, str) and opened in ODD and not IS_VALID[ODD.index(opened)]:
        return None
    if not isinstance(opened, str):
        return None
    age = datetime.fromisoformat(record["ts"]) - datetime.fromisoformat(opened.upper())
    return age / timedelta(hours=1)


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> tuple[Warehouse, list[dict]]:
    model = MODEL | {
        "features": [
            {"name": "opened_at", "type": "timestamp"},
            {"name": "plan", "type": "categorical"},
        ],
        "slices": [{"name": "opened_at", "breaks": [0, 24, 720]}],
    }
    warehouse = Warehouse(
        tmp_path_factory.mktemp("timestamps"),
        {"monitored_models": [model], "as_of": "2024-01-20", "drift_windows_days": [7]},
    )
    made = records(random.Random(3))
    warehouse.write("inference_events/a.jsonl", made[: 7 * 80])
    # The other week in Parquet: a column of instants, in which nothing can be odd.
    typed = []
    for record in made[7 * 80 :]:
        age = age_of(record)
        opened = record["features"]["opened_at"]
        instant = datetime.fromisoformat(opened.upper()) if age is not None else None
        # Parquet holds no years beyond those of Python.
        record["features"]["opened_at"] = opened if age is not None else None
        features = {"opened_at": instant and instant.astimezone(UTC), "plan": "pro"}
        typed.append(record | {"ts": datetime.fromisoformat(record["ts"]), "features": features})
    pq.write_table(pa.Table.from_pylist(typed), warehouse.landing / "inference_events/b.parquet")
    build = warehouse.build()
    assert build.exit_code == 0, build.end
    return warehouse, made


def test_ages(case):
    warehouse, made = case
    found = dict(
        warehouse.query(
            "select request_id, numerical_features.opened_at"
            " from ml_monitoring_restricted.stg_inference_events"
        )
    )
    assert len(found) == len(made)
    for record in made:
        expected = age_of(record)
        age = found[record["request_id"]]
        assert (age is None) == (expected is None), record
        if expected is not None:
            assert age == pytest.approx(expected, abs=1e-6, rel=1e-12)


def test_what_is_no_instant_is_listed(case):
    warehouse, made = case
    wrong = sum(
        record["features"]["opened_at"] is not None and age_of(record) is None for record in made
    )
    assert wrong == 7 * 6
    found = warehouse.query(
        "select field, issue, count(*) from ml_monitoring.field_issues group by all"
    )
    assert found == [("features.opened_at", "wrong_type", wrong)]


def test_drift_is_that_of_the_ages(case):
    warehouse, made = case
    ((feature_type, null_rate, ks, bound, level),) = warehouse.query(
        "select feature_type, current_null_rate, ks_statistic, ks_statistic_error_bound,"
        " drift_level from ml_monitoring.feature_drift where feature = 'opened_at'"
        " and slice_key = 'all' and comparison = 'baseline' and window_end = '2024-01-15'"
    )
    ages = np.array([age_of(record) for record in made], float)
    baseline, current = ages[: 7 * 80], ages[7 * 80 :]
    assert feature_type == "timestamp"
    assert null_rate == pytest.approx(np.isnan(current).mean())
    expected = stats.ks_2samp(baseline[~np.isnan(baseline)], current[~np.isnan(current)])
    assert ks == pytest.approx(expected.statistic, abs=bound + 1e-12)
    assert bound < 0.05
    assert level == "significant"


def test_slices_by_age(case):
    warehouse, made = case
    found = dict(
        warehouse.query(
            "select slice_value, sum(request_count) from ml_monitoring.service_levels"
            " where slice_key = 'opened_at' and window_size = '1d' group by all"
        )
    )
    ages = [age_of(record) for record in made]
    assert found == {
        "(missing)": sum(age is None for age in ages),
        "< 0": sum(age is not None and age < 0 for age in ages),
        "0 to < 24": sum(age is not None and 0 <= age < 24 for age in ages),
        "24 to < 720": sum(age is not None and 24 <= age < 720 for age in ages),
        ">= 720": sum(age is not None and age >= 720 for age in ages),
    }
    assert sum(found.values()) == len(made)
