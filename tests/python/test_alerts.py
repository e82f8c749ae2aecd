"""Alerts against a simulation that walks through the windows one by one."""

from collections import defaultdict
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_tables import ALERT_LINES, alert_lines
from alerts import NONE, Evaluations, after_cooldown, find_episodes, next_true

HOUR = 3_600_000_000


def simulate(windows, *, x, y, z, as_of):
    """Walk through the judged windows of one line: (window, evaluated_at, expires_at, is_breached).

    Gives (first, fired, last, is_resolved, is_expired) by position; fired is None while pending.
    """
    episodes = []
    breaches, clean, start = [], 0, None

    def end(last, *, is_expired):
        nonlocal start
        if start is not None:
            episodes.append((*start, last, True, is_expired))
        start = None

    for place, (window, evaluated_at, _, is_breached) in enumerate(windows):
        if place and windows[place - 1][2] < evaluated_at:
            end(place - 1, is_expired=True)
            breaches, clean = [], 0
        if is_breached:
            clean = 0
            breaches = [b for b in breaches if windows[b][0] > window - y] + [place]
            if start is None and len(breaches) >= x:
                start = breaches[0], place
        else:
            clean += 1
            if start is not None and clean >= z:
                end(place, is_expired=False)
                breaches = []
    if windows:
        last = len(windows) - 1
        if windows[last][2] <= as_of:
            end(last, is_expired=True)
        elif start is not None:
            episodes.append((*start, last, False, False))
        else:
            breaches = [b for b in breaches if windows[b][0] > windows[last][0] - y]
            if breaches and clean < z:
                episodes.append((breaches[0], None, last, False, False))
    return episodes


@st.composite
def series(draw, most=40):
    """Judged windows of one line: with gaps, and with windows that expire before the next."""
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 1, 2, 3, 9]), max_size=most))
    places = np.cumsum([0, *steps])[1:].tolist()
    age = draw(st.integers(0, 5))
    breach = st.booleans() if draw(st.booleans()) else st.sampled_from([False, False, True])
    return [(place, 10 * place, 10 * (place + age), draw(breach)) for place in places]


rules = st.tuples(st.integers(1, 4), st.integers(0, 4), st.integers(1, 4)).map(
    lambda rule: {"x": rule[0], "y": rule[0] + rule[1], "z": rule[2]}
)


@given(st.lists(st.tuples(series(), rules), max_size=6), st.integers(0, 80))
def test_episodes_are_those_of_a_simulation(lines, later):
    as_of = max((window[1] for windows, _ in lines for window in windows), default=0) + later
    rows = [(line, *window) for line, (windows, _) in enumerate(lines) for window in windows]
    columns = [np.array(column, int) for column in zip(*rows, strict=True)] or [
        np.array([], int)
    ] * 5
    found = find_episodes(
        Evaluations(*columns[:4], columns[4].astype(bool)),
        breach_windows=np.array([rule["x"] for _, rule in lines], int),
        evaluation_windows=np.array([rule["y"] for _, rule in lines], int),
        resolve_windows=np.array([rule["z"] for _, rule in lines], int),
        as_of=as_of,
    )
    expected, offset = [], 0
    for windows, rule in lines:
        for first, fired, last, is_resolved, is_expired in simulate(windows, **rule, as_of=as_of):
            fired = NONE if fired is None else fired + offset
            expected.append((first + offset, fired, last + offset, is_resolved, is_expired))
        offset += len(windows)
    assert (
        list(
            zip(
                found.first.tolist(),
                found.fired.tolist(),
                found.last.tolist(),
                found.is_resolved.tolist(),
                found.is_expired.tolist(),
                strict=True,
            )
        )
        == expected
    )


def test_counting_begins_anew_after_a_resolution():
    """Two of ten fire; two clean ones resolve; one breach more does not fire again."""
    breached = np.array([1, 1, 0, 0, 1, 0, 1], bool)
    places = np.arange(7)
    found = find_episodes(
        Evaluations(np.zeros(7, int), places, places, places + 5, breached),
        breach_windows=np.array([2]),
        evaluation_windows=np.array([10]),
        resolve_windows=np.array([2]),
        as_of=7,
    )
    assert found.fired.tolist() == [1, 6]
    assert found.last.tolist() == [3, 6]
    assert found.is_resolved.tolist() == [True, False]


@pytest.mark.parametrize(("x", "y", "z"), [(0, 1, 1), (2, 1, 1), (1, 1, 0)])
def test_rules_that_cannot_be_are_refused(x, y, z):
    one = np.array([0])
    with pytest.raises(ValueError, match="_windows must be"):
        find_episodes(
            Evaluations(one, one, one, one, np.array([True])),
            breach_windows=np.array([x]),
            evaluation_windows=np.array([y]),
            resolve_windows=np.array([z]),
            as_of=0,
        )


@given(st.lists(st.booleans()))
def test_next_true(values):
    expected = [
        next((j for j in range(i, len(values)) if values[j]), len(values))
        for i in range(len(values) + 1)
    ]
    assert next_true(np.array(values, bool)).tolist() == expected


# Whole alerts, from the windows of their conditions ------------------------------------------

WHOLE = ("all", "all", "")


@st.composite
def alerts(draw):
    """Rules of one to three conditions, some by slice or feature, and their judged windows."""
    rules, windows = [], []
    for number in range(draw(st.integers(1, 3))):
        name = f"rule {number}"
        rule = draw(rules_of_conditions)
        n_conditions = draw(st.integers(1, 3))
        for condition in range(1, n_conditions + 1):
            rules.append(
                {"alert_name": name, "model_name": "churn", "condition_number": condition}
                | {"comparator": draw(st.sampled_from(["<", ">="]))}
                | rule
            )
            is_sliced, by_feature = draw(st.booleans()), draw(st.booleans())
            step = draw(st.sampled_from([60, 1440]))
            abouts = [
                ("plan" if is_sliced else "all", value, feature)
                for value in (["basic", "pro"] if is_sliced else ["all"])
                for feature in (["age", "score"] if by_feature else [""])
            ]
            for version, about in product(("v1", "v2"), abouts):
                for place, _, _, is_breached in draw(series(most=12)):
                    end = place * step * 60_000_000
                    windows.append(
                        {
                            "key": (name, "churn", version, "live", *about),
                            "condition_number": condition,
                            "window": place,
                            "step_minutes": step,
                            "window_start": end - HOUR,
                            "window_end": end,
                            "breached_since": end - HOUR // 2,
                            "evaluated_at": end + HOUR,
                            "expires_at": end + 30 * HOUR,
                            "compared_value": float(draw(st.integers(-9, 9))),
                            "is_breached": is_breached,
                        }
                    )
    return rules, windows


rules_of_conditions = rules.map(
    lambda rule: {
        "breach_windows": rule["x"],
        "evaluation_windows": rule["y"],
        "resolve_windows": rule["z"],
    }
)


def tables(rules, windows):
    """Make the Arrow tables that the dbt model makes."""
    keys = sorted({(window["key"], window["condition_number"]) for window in windows})
    hash_of = {key: number for number, key in enumerate(sorted({key for key, _ in keys}))}
    rows = sorted(
        ({"key_hash": hash_of[w["key"]]} | w for w in windows),
        key=lambda w: (w["key_hash"], w["condition_number"], w["evaluated_at"]),
    )
    names = ("alert_name", "model_name", "model_version", "role", "slice_key", "slice_value",
             "line_feature")  # fmt: skip
    schema = pa.schema(
        [(name, pa.int64()) for name in ("key_hash", "condition_number", "window", "step_minutes")]
        + [(name, pa.int64()) for name in ("window_start", "window_end", "breached_since")]
        + [("evaluated_at", pa.int64()), ("expires_at", pa.int64())]
        + [("compared_value", pa.float64()), ("is_breached", pa.bool_())]
    )
    key_rows = [
        dict(zip(names, key, strict=True))
        | {"key_hash": hash_of[key], "condition_number": condition, "feature": key[-1]}
        for key, condition in keys
    ]
    columns = [*names, "feature"]
    return (
        pa.Table.from_pylist(
            [{k: v for k, v in row.items() if k != "key"} for row in rows], schema
        ),
        pa.table(
            {name: pa.array([row[name] for row in key_rows], pa.string()) for name in columns}
        ),
        pa.Table.from_pylist(rules),
    )


def expected_lines(rules, windows, as_of):
    """What the conditions of each rule give, line by line and moment by moment."""
    by_key = defaultdict(list)
    for window in sorted(windows, key=lambda w: w["evaluated_at"]):
        by_key[window["key"], window["condition_number"]].append(window)
    found = []
    for name, version in product(sorted({r["alert_name"] for r in rules}), ("v1", "v2")):
        own = [r for r in rules if r["alert_name"] == name]
        conditions = [r["condition_number"] for r in own]
        about = {
            c: {k[4:] for k, condition in by_key if (k[0], k[2], condition) == (name, version, c)}
            for c in conditions
        }
        is_sliced = {c: any(a[0] != "all" for a in about[c]) for c in conditions}
        by_feature = {c: any(a[2] for a in about[c]) for c in conditions}

        def key_of(c, line, name=name, version=version, is_sliced=is_sliced, by_feature=by_feature):
            slice_ = line[:2] if is_sliced[c] else ("all", "all")
            return (name, "churn", version, "live", *slice_, line[2] if by_feature[c] else "")

        slices = [("plan", "basic"), ("plan", "pro")] if any(is_sliced.values()) else [("all",) * 2]
        features = ["age", "score"] if any(by_feature.values()) else [""]
        for slice_, feature in product(slices, features):
            line = (*slice_, feature)
            series = {c: by_key.get((key_of(c, line), c), []) for c in conditions}
            if not all(series.values()):
                continue
            driver = min(conditions, key=lambda c: (series[c][0]["step_minutes"], c))
            judged = []
            for window in series[driver]:
                newest = {
                    c: next(
                        (
                            w
                            for w in reversed(series[c])
                            if w["evaluated_at"] <= window["evaluated_at"] <= w["expires_at"]
                        ),
                        None,
                    )
                    if c != driver
                    else window
                    for c in conditions
                }
                states = [w and w["is_breached"] for w in newest.values()]
                if False in states:
                    state = False
                elif None in states:
                    continue
                else:
                    state = True
                judged.append(
                    {
                        "window": window,
                        "value": newest[1] and newest[1]["compared_value"],
                        "is_breached": state,
                        "expires_at": min(w["expires_at"] for w in newest.values() if w),
                    }
                )
            rule = own[0]
            episodes = simulate(
                [
                    (j["window"]["window"], j["window"]["evaluated_at"], j["expires_at"],
                     j["is_breached"])
                    for j in judged
                ],
                x=rule["breach_windows"], y=rule["evaluation_windows"], z=rule["resolve_windows"],
                as_of=as_of,
            )  # fmt: skip
            worst = min if rule["comparator"].startswith("<") else max
            for first, fired, last, is_resolved, is_expired in episodes:
                part = judged[first : last + 1]
                values = [j["value"] for j in part if j["value"] is not None]
                end = part[-1]
                found.append(
                    {
                        "alert_name": name, "model_name": "churn", "model_version": version,
                        "role": "live", "slice_key": line[0], "slice_value": line[1],
                        "feature": feature,
                        "state": "pending" if fired is None
                        else "resolved" if is_resolved else "firing",
                        "started_at": judged[first]["window"]["breached_since"],
                        "fired_at": None if fired is None
                        else judged[fired]["window"]["evaluated_at"],
                        "resolved_at": None if not is_resolved
                        else end["expires_at"] if is_expired else end["window"]["evaluated_at"],
                        "is_expired": is_expired,
                        "breached_windows": sum(j["is_breached"] for j in part),
                        "worst_value": worst(values) if values else None,
                        "last_value": end["value"],
                        "window_start": end["window"]["window_start"],
                        "window_end": end["window"]["window_end"],
                    }
                )  # fmt: skip
    return found


@given(alerts(), st.integers(0, 60))
def test_alerts_are_those_of_a_simulation(drawn, later):
    rules, windows = drawn
    as_of = max((w["evaluated_at"] for w in windows), default=0) + later * HOUR
    found = alert_lines(*tables(rules, windows), as_of=as_of)
    assert found.schema == ALERT_LINES
    times = [field.name for field in ALERT_LINES if field.type == pa.timestamp("us")]
    for name in times:
        place = found.schema.get_field_index(name)
        found = found.set_column(place, name, found[name].cast(pa.int64()))
    order = ("alert_name", "model_version", "slice_value", "feature", "started_at")
    assert sorted(found.to_pylist(), key=lambda row: [row[name] for name in order]) == sorted(
        expected_lines(rules, windows, as_of), key=lambda row: [row[name] for name in order]
    )


def test_two_keys_of_one_hash_are_refused():
    rules = [
        {"alert_name": "a", "model_name": "churn", "condition_number": 1, "comparator": ">",
         "breach_windows": 1, "evaluation_windows": 1, "resolve_windows": 1}
    ]  # fmt: skip
    windows = [
        {"key": ("a", "churn", version, "live", *WHOLE), "condition_number": 1, "window": 0,
         "step_minutes": 60, "window_start": 0, "window_end": 1, "breached_since": 0,
         "evaluated_at": 1, "expires_at": 2, "compared_value": 1.0, "is_breached": True}
        for version in ("v1", "v2")
    ]  # fmt: skip
    judged, keys, rule_table = tables(rules, windows)
    clash = judged.set_column(0, "key_hash", pa.array([7, 7]))
    with pytest.raises(ValueError, match="1 series of windows for 2 keys"):
        alert_lines(clash, keys, rule_table, as_of=5)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60)), max_size=30), st.integers(0, 20))
def test_a_cooldown_leaves_out_what_comes_too_soon(events, cooldown):
    events = sorted(events)
    chosen = (
        after_cooldown(*(np.array(column, int) for column in zip(*events, strict=True)), cooldown)
        if events
        else np.array([])
    )
    last = {}
    for (series, moment), is_chosen in zip(events, chosen.tolist(), strict=True):
        assert is_chosen == (series not in last or moment >= last[series] + cooldown)
        if is_chosen:
            last[series] = moment
