"""root_cause_suspects on planted causes, against plain Python on the landing records."""

import random
import re
import statistics
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rca.reading import Database, read_incident
from rca.report import incident_report
from tests.integration.warehouse import DEPLOYMENT, MODEL, RULE, Warehouse, event

START, END = datetime(2024, 1, 1), datetime(2024, 1, 17)
SLOW_FROM, SLOW_TO = datetime(2024, 1, 11, 12), datetime(2024, 1, 11, 15)
NULLS_ON = datetime(2024, 1, 13)
RELEASED = datetime(2024, 1, 15, 9)
# Names from outside that must not break anything.
API, FLAG = 'pay "api" | <b>', "cache's *age*"
RULES = [
    {"alert_name": "slow", "metric": "latency_p95_ms", "threshold": "200", "min_requests": "5"},
    {"alert_name": "age_moves", "metric": "psi", "feature": "age", "comparison": "baseline",
     "window_size": "1d", "threshold": "1", "runbook": "docs/runbooks/drift.md"},
]  # fmt: skip


def make_records(seed: int) -> list[dict]:
    """Sixteen days of some ten requests an hour."""
    rng = random.Random(seed)
    records = []
    hours = int((END - START) / timedelta(hours=1))
    for number in range(hours * 10):
        ts = START + timedelta(hours=number // 10, seconds=rng.randrange(3600))
        is_slow = SLOW_FROM <= ts < SLOW_TO
        released = ts >= RELEASED
        api_ms = round(rng.uniform(20, 40) * (9 if is_slow else 1), 2)
        model_ms = round(rng.uniform(200, 260) if released else rng.uniform(10, 14), 2)
        is_missing = rng.random() < (0.5 if NULLS_ON <= ts < NULLS_ON + timedelta(days=1) else 0.02)
        is_error = rng.random() < 0.01
        records.append(
            event(
                f"r{number}",
                ts=f"{ts.isoformat()}Z",
                model_version="v2" if released else "v1",
                status=500 if is_error else 200,
                score=None if is_error else round(rng.random(), 3),
                latency_ms=round(api_ms + model_ms + 5, 2),
                inference_time_ms=model_ms,
                upstream={API: {"status": 200, "latency_ms": api_ms}, "db": None},
                preprocessing={FLAG: rng.random() < 0.1, "imputed": ["age"] if is_missing else []},
                features={
                    "age": None if is_missing else rng.randint(20, 60),
                    "plan": rng.choice(["basic", "pro"]),
                    "is_new": rng.random() < 0.5,
                },
            )
        )
    return records


def moment(record: dict) -> datetime:
    return datetime.fromisoformat(record["ts"].removesuffix("Z"))


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    warehouse = Warehouse(
        tmp_path_factory.mktemp("suspects"),
        {
            "monitored_models": [MODEL | {"slices": ["plan"]}],
            "as_of": f"{END:%F}",
            "drift_windows_days": [1],
            "drift_bins": 10,
        },
    )
    warehouse.own("alert_rules", RULE, RULES)
    warehouse.own(
        "deployments",
        DEPLOYMENT,
        [{"to": f"{RELEASED:%Y-%m-%dT%H:%M:%SZ}"},
         {"version": "v2", "from": f"{RELEASED:%Y-%m-%dT%H:%M:%SZ}"}],
    )  # fmt: skip
    records = make_records(1)
    warehouse.write(
        "inference_events/late.jsonl",
        [part for part in records if moment(part) >= datetime(2024, 1, 8)],
    )
    # The days before in Parquet, with STRUCTs.
    early = [part | {"ts": moment(part)} for part in records if moment(part) < datetime(2024, 1, 8)]
    pq.write_table(
        pa.Table.from_pylist(early), warehouse.landing / "inference_events" / "early.parquet"
    )
    build = warehouse.build(
        "--select", "+root_cause_suspects", "+alert_lines", "+label_coverage", "+service_levels"
    )
    assert build.exit_code == 0, build.end
    return warehouse, records


def suspects(warehouse, alert_name, version):
    """The suspects of the only alert of a rule and version, first ones first."""
    return warehouse.query(
        """
        select suspect_kind, suspect, started_at, evidence, score, suspect_rank, alert_id
        from ml_monitoring.root_cause_suspects
        where alert_name = ? and model_version = ? order by suspect_rank
        """,
        alert_name,
        version,
    )


def numbers(text):
    return [float(found) for found in re.findall(r"\d+(?:\.\d+)?", text)]


def mean_ms(records, start, end):
    found = [part["upstream"][API]["latency_ms"] for part in records if start <= moment(part) < end]
    return statistics.fmean(found)


def test_planted_upstream(case):
    """The upstream is first, since the hour that it slowed down, with its means."""
    warehouse, records = case
    kind, suspect, started_at, evidence, score, rank, _ = suspects(warehouse, "slow", "v1")[0]
    assert (kind, suspect, started_at, rank) == ("upstream", API, SLOW_FROM, 1)
    assert score > 0.5
    hour, day = timedelta(hours=1), timedelta(days=1)
    now = mean_ms(records, SLOW_FROM, SLOW_FROM + hour)
    before = [
        mean_ms(records, SLOW_FROM - n * day, SLOW_FROM - n * day + hour) for n in range(1, 8)
    ]
    expected = [now, 7, statistics.median(before), min(before), max(before)]
    # Written with three digits.
    assert numbers(evidence) == pytest.approx(expected, rel=0.006)


def test_planted_nulls(case):
    """Missing values are suspected of the drift of their feature, with their shares."""
    warehouse, records = case
    found = suspects(warehouse, "age_moves", "v1")
    by_name = {row[:2]: row for row in found}
    assert {found[0][:2], found[1][:2]} <= {
        ("null_rate", "age"), ("preprocessing", "imputed: age"), ("feature_drift", "age")
    }  # fmt: skip
    assert found[0][:2] == ("null_rate", "age")

    day = timedelta(days=1)

    def share(start):
        rows = [
            part["features"]["age"] is None for part in records
            if start <= moment(part) < start + day and part["status"] < 400
        ]  # fmt: skip
        return 100 * statistics.fmean(rows)

    # Since 1 January there are twelve days, fewer than fourteen.
    before = [share(NULLS_ON - n * day) for n in range(1, 13)]
    expected = [share(NULLS_ON), 12, statistics.median(before), min(before), max(before)]
    row = by_name["null_rate", "age"]
    assert numbers(row[3]) == pytest.approx(expected, abs=0.006)
    assert row[2] == NULLS_ON


def test_planted_release(case):
    """The release is first for the version that came with it, and no upstream is suspected."""
    warehouse, _ = case
    found = suspects(warehouse, "slow", "v2")
    assert found[0][:3] == ("deployment", "v2 went live", RELEASED)
    assert not [row for row in found if row[0] == "upstream"]


def test_hours_against_the_records(case):
    """Both hourly summaries, whether the lines came as JSON or Parquet."""
    warehouse, records = case
    found = warehouse.query(
        """
        select event_hour, upstream, call_count, latency_sum::double / 1048576
        from ml_monitoring_internal.int_upstream_hours order by all
        """
    )
    expected: dict = {}
    flags: dict = {}
    for part in records:
        hour = moment(part).replace(minute=0, second=0)
        count, total = expected.get(hour, (0, 0.0))
        expected[hour] = (count + 1, total + part["upstream"][API]["latency_ms"])
        for name in [FLAG] * part["preprocessing"][FLAG] + [
            f"imputed: {name}" for name in part["preprocessing"]["imputed"]
        ]:
            flags[hour, name] = flags.get((hour, name), 0) + 1
    # The hour of the release has calls of both versions, in rows of their own.
    summed: dict = {}
    for hour, upstream, count, total in found:
        assert upstream == API
        known = summed.get(hour, (0, 0.0))
        summed[hour] = (known[0] + count, known[1] + total)
    assert summed.keys() == expected.keys()
    for hour, (count, total) in expected.items():
        assert summed[hour][0] == count
        assert summed[hour][1] == pytest.approx(total, abs=1e-4)
    counted = warehouse.query(
        """
        select event_hour, flag, sum(request_count)::bigint
        from ml_monitoring_internal.int_preprocessing_hours group by all
        """
    )
    assert {(hour, flag): count for hour, flag, count in counted} == flags


def test_importances(case):
    """Scores are random here: no importance is trusted, and none is made up."""
    warehouse, _ = case
    found = warehouse.query(
        "select distinct importance, weight, data_status"
        " from ml_monitoring_internal.int_feature_importances"
    )
    assert found == [(None, None, "not_estimable")]


def test_report(case):
    """A report of the planted alert names the upstream, and shows its name as it is."""
    warehouse, _ = case
    alert_id = suspects(warehouse, "slow", "v1")[0][-1]
    text = incident_report(read_incident(Database(warehouse.database), alert_id))
    assert 'upstream: pay "api" &#124; &lt;b&gt;' in text
    assert "<b>" not in text
    assert "2024-01-11 12:00" in text
