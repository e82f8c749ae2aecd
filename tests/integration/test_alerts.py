"""Alerts from end to end: events go in, and a plain simulation says which alerts come out.

Then the SQL of burn rates and of absence by itself, over many random series of windows.
"""

import random
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.warehouse import MODEL, RULE, TARGET, Warehouse, event

START = datetime(2024, 1, 10)
AS_OF = datetime(2024, 1, 14, 5, 30)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
#: long window, short window, factor, clean windows that end it; of a step each.
BURN_RATES = [
    (HOUR, 5 * MINUTE, 14.4, 60, MINUTE),
    (6 * HOUR, 30 * MINUTE, 6, 60, MINUTE),
    (24 * HOUR, 2 * HOUR, 3, 6, HOUR),
    (72 * HOUR, 6 * HOUR, 1, 12, HOUR),
]
BUDGET = 0.02
NAMES = {HOUR: "1h", 6 * HOUR: "6h", 24 * HOUR: "1d", 72 * HOUR: "3d"}


def traffic(seed):
    """Four days by the minute: (moment, is_error). With bursts of errors, and hours of silence."""
    rng = random.Random(seed)
    bad = [
        (START + timedelta(hours=rng.uniform(2, 90)), timedelta(minutes=rng.choice([8, 40, 300])))
        for _ in range(4)
    ]
    silent = [(START + timedelta(hours=rng.uniform(4, 90)), rng.choice([2, 5])) for _ in range(2)]
    events = []
    for number in range(int((AS_OF - START) / MINUTE)):
        moment = START + number * MINUTE
        if any(since <= moment < since + hours * HOUR for since, hours in silent):
            continue
        in_burst = any(since <= moment < since + length for since, length in bad)
        for _ in range(rng.choice([0, 1, 1, 2])):
            share = 0.5 if in_burst else 0.005
            events.append((moment + timedelta(seconds=rng.uniform(0, 59)), rng.random() < share))
    return sorted(events)


class Service:
    """What a service did in any window."""

    def __init__(self, events):
        self.minutes = {}
        for moment, is_error in events:
            minute = moment.replace(second=0, microsecond=0)
            requests, errors = self.minutes.get(minute, (0, 0))
            self.minutes[minute] = requests + 1, errors + is_error
        self.first = min(self.minutes)

    def count(self, end, width):
        """Requests and errors in [end - width, end)."""
        found = [
            self.minutes.get(end - n * MINUTE, (0, 0)) for n in range(1, int(width / MINUTE) + 1)
        ]
        return sum(requests for requests, _ in found), sum(errors for _, errors in found)

    def ends(self, width):
        """When windows of a width end."""
        step = MINUTE if width < HOUR else HOUR if width < 24 * HOUR else 24 * HOUR
        end = START + step
        while end <= AS_OF:
            # A window ends in the time of its version.
            if end > self.first:
                yield end
            end += step


def judged(service, width, threshold, least):
    """(end, is_breached) of the windows with enough requests."""
    for end in service.ends(width):
        requests, errors = service.count(end, width)
        if requests and requests >= least:
            yield end, errors / requests > threshold


def walk(windows, *, x, y, z, step, now=AS_OF):
    """(fired, resolved) of one line from (end, expires, is_breached): None while it fires."""
    episodes, breaches, clean, fired = [], [], 0, None
    for place, (end, _, is_breached) in enumerate(windows):
        if place and windows[place - 1][1] < end:
            if fired:
                episodes.append((fired, windows[place - 1][1]))
            breaches, clean, fired = [], 0, None
        if is_breached:
            clean = 0
            breaches = [b for b in breaches if b > end - y * step] + [end]
            if not fired and len(breaches) >= x:
                fired = end
        else:
            clean += 1
            if fired and clean >= z:
                episodes.append((fired, end))
                breaches, fired = [], None
    if fired:
        expires = windows[-1][1]
        episodes.append((fired, expires if expires <= now else None))
    return episodes


def burns(service):
    """What the error budget of 28 days burns."""
    for long, short, factor, z, step in BURN_RATES:
        threshold = factor * BUDGET
        least = max(1, -(-5 // threshold)) if threshold < 1 else None
        if least is None:
            continue
        least_short = max(1, -(-5 / threshold * (short / long) // 1))
        age = 2 * long
        longs = list(judged(service, long, threshold, least))
        windows = []
        for end, short_breached in judged(service, short, threshold, least_short):
            newest = [(e, b) for e, b in longs if e <= end <= e + age]
            expires = min([end + age] + [e + age for e, _ in newest[-1:]])
            if newest and newest[-1][1] and short_breached:
                windows.append((end, expires, True))
            elif not short_breached or (newest and not newest[-1][1]):
                windows.append((end, expires, False))
        for fired, resolved in walk(windows, x=1, y=1, z=z, step=step):
            yield f"budget_burn_{NAMES[long]}", fired, resolved


def errors_often(service):
    """Three of five hours over 3 % of ten requests; or nothing known for three hours."""
    windows = [
        (end, end + 3 * HOUR, is_breached) for end, is_breached in judged(service, HOUR, 0.03, 10)
    ]
    spans = walk(windows, x=2, y=4, z=2, step=HOUR)
    known = [service.first + 4 * HOUR, *(expires for _, expires, _ in windows)]
    seen = [*(end for end, _, _ in windows), None]
    spans += [
        (expires, end if end and end <= AS_OF else None)
        for expires, end in zip(known, seen, strict=True)
        if expires < (end or datetime.max) and expires <= AS_OF
    ]
    # What fires together is one alert.
    merged = []
    for fired, resolved in sorted(spans, key=lambda span: (span[0], span[1] or datetime.max)):
        if merged and (merged[-1][1] is None or fired <= merged[-1][1]):
            ends = [merged[-1][1], resolved]
            merged[-1] = merged[-1][0], None if None in ends else max(ends)
        else:
            merged.append((fired, resolved))
    for fired, resolved in merged:
        yield "errors", fired, resolved


def test_alerts_are_those_of_a_simulation(tmp_path):
    events = traffic(seed=1)
    warehouse = Warehouse(
        tmp_path,
        {
            "monitored_models": [MODEL | {"baseline": {"days": 2}}],
            "as_of": AS_OF.isoformat() + "Z",
        },
    )
    warehouse.own(
        "slo_targets",
        TARGET,
        [
            {
                "slo_name": "budget",
                "window_size": "28d",
                "objective": str(BUDGET),
                "severity": "page",
            }
        ],
    )
    warehouse.own(
        "alert_rules",
        RULE,
        [
            {
                "threshold": "0.03",
                "min_requests": "10",
                "breach_windows": "2",
                "evaluation_windows": "4",
                "max_age_hours": "3",
                "on_missing": "breach",
            }
        ],
    )
    warehouse.write(
        "inference_events/events.jsonl.gz",
        [
            event(f"r{number}", ts=f"{moment.isoformat()}Z", status=503 if is_error else 200)
            for number, (moment, is_error) in enumerate(events)
        ],
    )
    build = warehouse.dbt("run")
    assert build.exit_code == 0, build.end
    service = Service(events)
    expected = sorted([*burns(service), *errors_often(service)], key=str)
    found = warehouse.query(
        "select alert_name, fired_at, resolved_at from ml_monitoring.alerts"
        " where state <> 'pending' and alert_name <> 'budget'"
    )
    assert sorted(found, key=str) == expected
    assert {"errors", "budget_burn_1h"} <= {name for name, _, _ in expected}


# The SQL by itself -----------------------------------------------------------------------------

INTERNAL = "warehouse.ml_monitoring_internal"
NOW = START + timedelta(days=4, hours=5)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The SQL of the models that alerts are made with, as dbt renders it."""
    warehouse = Warehouse(tmp_path_factory.mktemp("compiled"), {"monitored_models": [MODEL]})
    # What some of them ask the database while they are rendered has to be there.
    assert warehouse.dbt("run").exit_code == 0
    folder = warehouse.folder / "target" / "compiled" / "ml_monitoring" / "models" / "intermediate"
    return {path.stem: path.read_text() for path in folder.glob("int_alert_*.sql")}


@pytest.fixture(scope="module")
def database():
    """An empty database with the names that the SQL knows."""
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.execute("attach ':memory:' as warehouse")
    connection.execute(f"create schema {INTERNAL}")
    return connection


def table(database, name, columns, rows):
    """Make a table from plain rows."""
    database.execute(f"create or replace table {INTERNAL}.{name} ({columns})")
    if rows:
        marks = ", ".join("?" * len(rows[0]))
        database.executemany(f"insert into {INTERNAL}.{name} values ({marks})", rows)


def model(database, compiled, name):
    """Build a SQL model, and give its rows."""
    database.execute(f"create or replace table {INTERNAL}.{name} as {compiled[name]}")
    return database.sql(f"from {INTERNAL}.{name}")


CONDITION = """
    alert_name text, model_name text, role text, condition_number int, metric text, slice_key text,
    feature text, comparison text, window_size text, comparator text, threshold double,
    compare_to text, min_requests bigint, breach_windows int, evaluation_windows int,
    resolve_windows int, max_age_hours double, on_missing text, severity text, runbook text,
    owner text, is_enabled boolean, triggers_retraining boolean, comment text, problem text
"""
SPAN = "model_name text, model_version text, role text, span_start timestamp, span_end timestamp, "
hours = st.integers(0, 96)


def walk_absence(windows, since, until, *, age):
    """(from, to) where no window says how things are, minute by minute."""
    gaps, began = [], None
    moment = since
    while moment <= min(until or NOW, NOW):
        is_known = moment < since + HOUR + age or any(
            end <= moment < end + age for end, is_judged in windows if is_judged
        )
        is_over = until is not None and moment >= until
        if not is_known and not is_over and began is None:
            began = moment
        if (is_known or is_over) and began is not None:
            gaps.append((began, moment))
            began = None
        moment += 30 * MINUTE
    if began is not None:
        gaps.append((began, None))
    return gaps


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)
@given(
    windows=st.dictionaries(hours, st.booleans(), max_size=30),
    first=st.integers(0, 30),
    lasts=st.one_of(st.none(), st.integers(1, 60)),
    age=st.integers(1, 12),
)
def test_absence_is_that_of_a_simulation(compiled, database, windows, first, lasts, age):
    since = START + first * HOUR
    until = since + lasts * HOUR if lasts else None
    judged = [
        (START + hour * HOUR, is_judged)
        for hour, is_judged in sorted(windows.items())
        if since < START + hour * HOUR <= (until or NOW)
    ]
    table(database, "int_as_of", "as_of timestamp", [(NOW,)])
    table(
        database,
        "int_service_spans",
        SPAN + "is_serving boolean",
        [("churn", "v1", "live", since, until or NOW, until is None)],
    )
    table(
        database,
        "int_alert_conditions",
        "alert_name text, model_name text, role text, on_missing text, max_age_hours double,"
        " window_size text, feature text",
        [("errors", "churn", "live", "breach", age, "1h", None)],
    )
    table(
        database,
        "int_alert_evaluations",
        "alert_name text, model_name text, model_version text, role text, window_end timestamp,"
        " evaluated_at timestamp, expires_at timestamp, is_breached boolean",
        [
            ("errors", "churn", "v1", "live", end, end, end + age * HOUR, False if known else None)
            for end, known in judged
        ],
    )
    found = model(database, compiled, "int_alert_absences").project("absent_from, absent_to")
    expected = walk_absence(judged, since, until, age=age * HOUR)
    if until is not None:
        expected = [(began, ended or until) for began, ended in expected]
    assert sorted(found.fetchall()) == expected


def draw_windows(draw, step):
    """Windows of one size: (end, share of errors, requests), most of them there."""
    ends = [START + step * number for number in range(1, int((NOW - START) / step) + 1)]
    kept = draw(st.lists(st.booleans(), min_size=len(ends), max_size=len(ends)))
    rng = random.Random(draw(st.integers(0, 2**32)))
    bad = draw(st.sampled_from([0.1, 0.5, 0.9]))
    return [
        (end, rng.choice([0.0, 0.04, 0.2, 0.5]) if rng.random() < bad else 0.0, rng.randint(1, 200))
        for end, is_kept in zip(ends, kept, strict=True)
        if is_kept or rng.random() < 0.7
    ]


@st.composite
def burning(draw):
    """Windows of the sizes of two of the burn rates; those under an hour by the hour, too."""
    return {
        size: draw_windows(draw, 24 * HOUR if size == "3d" else HOUR)
        for size in ("1h", "5m", "3d", "6h")
    }  # fmt: skip


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=40)
@given(burning())
def test_burn_rates_are_those_of_a_simulation(compiled, database, windows):
    table(database, "int_as_of", "as_of timestamp", [(NOW,)])
    table(
        database,
        "int_monitored_models",
        "model_name text, label_grace_hours double",
        [("churn", 48)],
    )
    table(database, "stg_alert_rules", CONDITION, [])
    table(
        database,
        "stg_slo_targets",
        "slo_name text, model_name text, role text, metric text, slice_key text, feature text,"
        " comparison text, window_size text, comparator text, objective double,"
        " min_requests bigint, max_age_hours double, on_missing text, severity text, runbook text,"
        " comment text, problem text",
        [("up", "churn", "live", "error_rate", "all", None, "baseline", "28d", "<=", BUDGET, 0, 24,
          "ignore", "page", "a.md", "", None)],
    )  # fmt: skip
    table(
        database,
        "int_service_spans",
        SPAN + "is_serving boolean",
        [("churn", "v1", "live", START, NOW, True)],
    )
    widths = {"1h": HOUR, "5m": 5 * MINUTE, "3d": 72 * HOUR, "6h": 6 * HOUR}
    table(
        database,
        "int_metric_values",
        "model_name text, model_version text, role text, slice_key text, slice_value text,"
        " window_size text, window_start timestamp, window_end timestamp, label_view text,"
        " feature text, comparison text, metric text, value double, value_lower double,"
        " value_upper double, sample_count bigint, data_status text, home_table text",
        [
            ("churn", "v1", "live", "all", "all", size, end - widths[size], end, None, None, None,
             "error_rate", share, None, None, requests, "ok", "service_levels")
            for size, found in windows.items()
            for end, share, requests in found
        ],
    )  # fmt: skip
    model(database, compiled, "int_alert_conditions")
    model(database, compiled, "int_alert_evaluations")
    lines = run_lines(database)
    found = {
        (row["alert_name"], row["fired_at"], row["resolved_at"])
        for row in lines
        if row["state"] != "pending"
    }
    expected = set()
    for long, short, factor, name, z, step in (
        ("1h", "5m", 14.4, "up_burn_1h", 60, MINUTE),
        ("3d", "6h", 1, "up_burn_3d", 12, HOUR),
    ):
        threshold, age = factor * BUDGET, 2 * widths[long]
        least = -(-5 // threshold)
        least_short = max(1, -(-round(5 / threshold * (widths[short] / widths[long]), 6) // 1))
        longs = [(e, share > threshold) for e, share, n in windows[long] if n >= least]
        judged = []
        for end, share, requests in windows[short]:
            if requests < least_short:
                continue
            newest = [(e, b) for e, b in longs if e <= end <= e + age][-1:]
            if not newest and share > threshold:
                continue
            is_breached = share > threshold and newest[0][1]
            expires = min([end + age] + [e + age for e, _ in newest])
            judged.append((end, expires, is_breached))
        for fired, resolved in walk(judged, x=1, y=1, z=z, step=step, now=NOW):
            expected.add((name, fired, resolved))
    assert found == expected


def run_lines(database):
    """Run the Python model on what the SQL has made."""
    path = Path(__file__).parents[2] / "models" / "intermediate" / "int_alert_lines.py"
    scope = {}
    exec(compile(path.read_text(), path, "exec"), scope)

    class Dbt:
        """What a Python model sees of dbt."""

        def config(self, **_):
            """Nothing to do."""

        def ref(self, name):
            return database.sql(f"from {INTERNAL}.{name}")

    return scope["model"](Dbt(), database).to_arrow_table().to_pylist()
