"""feature_integrity against plain Python over the landing records; built by days and at once."""

import copy
import random
from collections import Counter, defaultdict
from datetime import date, timedelta

import pytest

from inference_logger import feature_hash
from tests.integration import oracle
from tests.integration.warehouse import MODEL, Warehouse, event

FEATURES = [
    {"name": "age", "type": "numerical"},
    {"name": "length_ft", "type": "numerical"},
    {"name": "temperature_f", "type": "numerical"},
    {"name": "plan", "type": "categorical"},
    {"name": "always", "type": "categorical"},
    {"name": "height_in", "type": "numerical"},
    {"name": "rooms", "type": "numerical"},
    {"name": "floors", "type": "numerical"},
]
FIRST = date(2024, 1, 1)
COUNTRIES = ["de", "fr", "it"]
INTEGRITY = """
    select model_version, role, slice_key, window_start::date as day, window_end, feature,
        integrity_check, is_flagged, value, threshold, factor, value_offset, fit_residual,
        sample_count, detail, data_status
    from ml_monitoring.feature_integrity order by all
"""


def features_of(rng, day, country, number):
    features = {
        "age": round(rng.gauss(40, 12), 2),
        "length_ft": round(rng.lognormvariate(3, 0.5), 3),
        "temperature_f": round(rng.gauss(50, 25), 2),
        "plan": rng.choice(["basic", "pro"]),
        "always": "x",
        "height_in": round(rng.gauss(50, 8), 1),
        "rooms": rng.randint(1, 9),
        "floors": rng.randint(1, 9),
    }
    if day == date(2024, 1, 10):
        features["length_ft"] *= 0.3048
        features["plan"] = "pro"
        # Far beyond the baseline.
        features["height_in"] *= 25.4
    if day == date(2024, 1, 11):
        features["age"] = 33
        if country == "de":
            features["temperature_f"] = (features["temperature_f"] - 32) / 1.8
    if day == date(2024, 1, 12) and number % 10 == 0:
        features["age"] = str(features["age"])
    if day == date(2024, 1, 12):
        features["floors"] = features["rooms"] if number else 10
    if rng.random() < 0.02:
        features["length_ft"] = None
    return features


def records_of(day):
    rng = random.Random(day.toordinal())
    records = []
    for number in range(40 if day == date(2024, 1, 13) else 400):
        country = rng.choice(COUNTRIES)
        features = features_of(rng, day, country, number)
        hashed = features if day != date(2024, 1, 9) or number % 2 else features | {"age": 1.5}
        records.append(
            event(
                f"{day}-{number}",
                ts=f"{day}T{rng.randrange(24):02}:00:00Z",
                score=rng.random(),
                status=503 if rng.random() < 0.02 else 200,
                features=features,
                attributes={"country": country},
                feature_hash=feature_hash(hashed) if day != date(2024, 1, 8) else ...,
            )
        )
    return records


def warehouse_in(folder):
    model = copy.deepcopy(MODEL) | {"features": FEATURES, "slices": ["country"]}
    return Warehouse(folder, {"monitored_models": [model], "drift_windows_days": [7]})


def run(warehouse, as_of, *arguments):
    build = warehouse.dbt("run", "--select", "+feature_integrity", *arguments, as_of=as_of)
    assert build.exit_code == 0, build.end


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    warehouse = warehouse_in(tmp_path_factory.mktemp("integrity"))
    days = [FIRST + timedelta(number) for number in range(13)]
    # Half of a day comes late; the days after it are there by then.
    late = records_of(days[9])
    warehouse.write("inference_events/late.jsonl", late[:60])
    for day in days[:9] + days[10:11]:
        warehouse.write(f"inference_events/{day}.jsonl", records_of(day))
    run(warehouse, "2024-01-12")
    before = warehouse.query(INTEGRITY)
    warehouse.write("inference_events/late.jsonl", late)
    for day in days[11:]:
        warehouse.write(f"inference_events/{day}.jsonl", records_of(day))
    run(warehouse, "2024-01-14")
    return warehouse, before


@pytest.fixture(scope="module")
def rows(built):
    columns = ("slice_key", "day", "feature", "check", "is_flagged", "value", "threshold",
               "factor", "offset", "residual", "sample_count", "detail", "status")  # fmt: skip
    found = [
        dict(zip(columns, (row[2], row[3], *row[5:]), strict=True))
        for row in built[0].query(INTEGRITY)
    ]
    return {(row["day"], row["feature"], row["check"]): row for row in found}


@pytest.fixture(scope="module")
def predictions(built):
    by_day = defaultdict(list)
    for record in oracle.read_records(built[0].landing / "inference_events"):
        if record["status"] < 400:
            by_day[oracle.moment(record["ts"]).date()].append(record)
    return by_day


def test_there_is_a_row_for_each_day_feature_and_check(rows, predictions):
    numbers = [f["name"] for f in FEATURES if f["type"] == "numerical"]
    expected = {
        (day, feature["name"], check)
        for day in predictions
        for feature in FEATURES
        for check in ("type_change", "stuck", "duplicated", "unit_change")
        if check != "unit_change" or feature["name"] in numbers
    } | {(day, "all", "hash_mismatch") for day in predictions}
    assert set(rows) == expected and len(predictions) == 13


def test_only_what_was_done_is_flagged(rows):
    assert {key for key, row in rows.items() if row["is_flagged"]} == {
        (date(2024, 1, 9), "all", "hash_mismatch"),
        (date(2024, 1, 10), "height_in", "unit_change"),
        (date(2024, 1, 10), "length_ft", "unit_change"),
        (date(2024, 1, 10), "plan", "stuck"),
        (date(2024, 1, 11), "age", "stuck"),
        (date(2024, 1, 11), "temperature_f", "unit_change"),
        (date(2024, 1, 12), "age", "type_change"),
        (date(2024, 1, 12), "floors", "duplicated"),
        (date(2024, 1, 12), "rooms", "duplicated"),
    }


def test_hashes(rows, predictions):
    statuses = set()
    for day, records in predictions.items():
        row = rows[day, "all", "hash_mismatch"]
        statuses.add(row["status"])
        if day == date(2024, 1, 8):
            assert (row["status"], row["value"], row["sample_count"]) == ("no_data", None, 0)
        elif row["status"] == "ok":
            # About one in sixteen is looked at.
            assert 0 < row["sample_count"] < len(records) / 6
            assert row["value"] == 0 if day != date(2024, 1, 9) else 0.2 < row["value"] < 0.8
            assert row["is_flagged"] == (day == date(2024, 1, 9))
    assert statuses == {"ok", "no_data"}


def test_duplicated_features(rows):
    for feature, other in (("rooms", "floors"), ("floors", "rooms")):
        row = rows[date(2024, 1, 12), feature, "duplicated"]
        assert row["sample_count"] == 300
        assert row["value"] == pytest.approx(1, abs=1 / 300)
        assert row["detail"].startswith(f"equals {other} in ")
        # By chance one in nine.
        assert 0.03 < rows[date(2024, 1, 11), feature, "duplicated"]["value"] < 0.2
    # One value all day is no second column.
    assert rows[date(2024, 1, 11), "age", "duplicated"]["value"] < 0.1


def test_shares_of_wrong_types(rows, predictions):
    for day, records in predictions.items():
        for feature in FEATURES:
            row = rows[day, feature["name"], "type_change"]
            is_number = feature["type"] == "numerical"
            wrong = sum(
                isinstance(value, str) == is_number
                for record in records
                if (value := record["features"][feature["name"]]) is not None
            )
            assert row["sample_count"] == len(records)
            if len(records) < 50:
                assert row["value"] is None and row["status"] == "insufficient_data"
            else:
                assert row["value"] == pytest.approx(wrong / len(records), abs=1e-12)


def test_shares_of_the_most_frequent_value(rows, predictions):
    for day, records in predictions.items():
        for name in ("plan", "age"):
            row = rows[day, name, "stuck"]
            values = [record["features"][name] for record in records]
            values = [v for v in values if isinstance(v, str) == (name == "plan")]
            assert row["sample_count"] == len(values)
            if len(values) < 50:
                assert row["value"] is None and row["status"] == "insufficient_data"
                continue
            exact = max(Counter(values).values()) / len(values)
            if name == "plan" or exact == 1:
                assert row["value"] == pytest.approx(exact, abs=1e-12)
            else:
                # A bin of numbers is narrow, not a point: at most two in 200 of the baseline.
                assert 0 < row["value"] < 0.05
        assert rows[day, "always", "stuck"]["status"] in ("not_applicable", "insufficient_data")


def test_unit_changes_are_named_and_weighed(rows, predictions):
    whole = rows[date(2024, 1, 10), "length_ft", "unit_change"]
    assert whole["value"] == 1 and whole["factor"] == pytest.approx(0.3048)
    assert whole["detail"] == "all predictions: values as if converted, feet to metres"
    beyond = rows[date(2024, 1, 10), "height_in", "unit_change"]
    assert beyond["detail"] == "all predictions: values as if converted, inches to millimetres"
    part = rows[date(2024, 1, 11), "temperature_f", "unit_change"]
    countries = [record["attributes"]["country"] for record in predictions[date(2024, 1, 11)]]
    assert part["value"] == pytest.approx(countries.count("de") / len(countries))
    assert (part["factor"], part["offset"]) == pytest.approx((5 / 9, -160 / 9))
    assert part["detail"] == "country = de: values as if converted, fahrenheit to celsius"


def test_words_hold_no_raw_values(rows):
    assert not any("33" in (row["detail"] or "").split() for row in rows.values())


def test_days_and_late_files_give_what_one_build_gives(built):
    warehouse, before = built
    by_days = warehouse.query(INTEGRITY)
    assert 0 < len(before) < len(by_days)
    run(warehouse, "2024-01-14", "--full-refresh")
    assert warehouse.query(INTEGRITY) == by_days
