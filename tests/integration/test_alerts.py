"""Alerts from end to end: events go in, and a plain simulation says which alerts come out."""

import random
from datetime import datetime, timedelta

import pytest

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


def walk(windows, *, x, y, z, step):
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
        episodes.append((fired, expires if expires <= AS_OF else None))
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


@pytest.mark.parametrize("seed", [1, 2])
def test_alerts_are_those_of_a_simulation(tmp_path, seed):
    events = traffic(seed)
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
