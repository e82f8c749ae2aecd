"""Matching of alerts with incidents, against an hour-by-hour simulation and by hand."""

from datetime import datetime, timedelta
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest import Alert, Incident, Period, backtest, belongs

ZERO = datetime(2024, 1, 1)
LAST = 24 * 30
SEVERITIES = {"errors": "page", "errors_slow": "page", "drift": "ticket"}


def at(hour):
    return None if hour is None else ZERO + timedelta(hours=hour)


def alert(name="errors", hour=10, resolved=12, model="churn", looks_back=1):
    return Alert(name, model, at(hour), at(resolved), timedelta(hours=looks_back))


def incident(name="i", start=10, end=12, **fields):
    return Incident(name, at(start), at(end), **fields)


def run(alerts, incidents, start=0, end=LAST, **options):
    options = {"severities": SEVERITIES} | options
    return backtest(alerts, incidents, period=Period(at(start), at(end)), **options)


def of(found, name="errors"):
    return next(result for result in found.alerts if result.alert_name == name)


# By hand


@pytest.mark.parametrize(
    ("hour", "is_of_it"),
    [(9, False), (10, True), (12, True), (37, True), (38, False)],
)
def test_an_alert_fires_from_the_start_to_what_it_looks_back_on_and_a_day(hour, is_of_it):
    # 12:00 is the end; then an hour of window and a day.
    assert belongs(alert(hour=hour), incident()) == is_of_it


def test_a_tolerance_takes_the_place_of_what_it_looks_back_on():
    late = alert(hour=15, looks_back=100)
    assert not belongs(late, incident(), timedelta(hours=2))
    assert belongs(late, incident(), timedelta(hours=3))
    assert belongs(alert(hour=10_000), incident(end=None), timedelta(0))


def test_the_model_must_match_where_the_incident_has_one():
    assert belongs(alert(model="churn"), incident())
    assert belongs(alert(model="churn"), incident(model_name="churn"))
    assert not belongs(alert(model="churn"), incident(model_name="fraud"))


def test_a_prefix_stands_for_all_names_that_begin_with_it():
    found = run([alert("errors_slow", 11)], [incident(detected_by=("errors*",))])
    assert found.incidents[0].caught_by == (("errors_slow", timedelta(hours=1)),)
    # Both were expected.
    assert [of(found, name).expected for name in SEVERITIES] == [1, 1, 0]
    assert [of(found, name).caught for name in SEVERITIES] == [0, 1, 0]


def test_what_an_alert_is():
    catch, side_effect, false_alarm = alert(hour=10), alert("drift", 11), alert(hour=200)
    found = run([catch, side_effect, false_alarm], [incident(detected_by=("errors",))])
    assert (of(found).alerts, of(found).false_alarms, of(found).side_effects) == (2, 1, 0)
    drift = of(found, "drift")
    assert (drift.alerts, drift.false_alarms, drift.side_effects) == (1, 0, 1)
    assert found.false_alarms == [("page", false_alarm)]
    assert found.incidents[0].side_effects == ("drift",)
    assert found.false_alarms_a_week("page") == pytest.approx(7 / 30)
    assert found.false_alarms_a_week("ticket") == 0


def test_an_alert_of_two_incidents_catches_the_one_that_names_it():
    one, other = incident("one", detected_by=("errors",)), incident("other", detected_by=("drift",))
    found = run([alert()], [one, other])
    assert [result.outcome for result in found.incidents] == ["caught", "missed"]
    assert of(found).side_effects == 0
    assert found.incidents[1].side_effects == ("errors",)


def test_an_incident_that_only_tables_show_is_for_no_rule():
    found = run([alert()], [incident(seen_in=("field_issues",))])
    assert found.incidents[0].outcome == "no rule"
    assert (found.expected, found.caught) == (0, 0)
    assert (of(found).false_alarms, of(found).side_effects) == (0, 1)


def test_an_incident_that_names_nobody_is_caught_by_any():
    found = run([alert("drift", 11)], [incident()])
    assert found.incidents[0].outcome == "caught"
    assert (of(found, "drift").expected, of(found, "drift").caught) == (1, 1)
    assert of(found).expected == 0


def test_the_first_detects_and_the_last_resolves():
    twice = [alert(hour=11, resolved=13), alert(hour=14, resolved=20)]
    found = of(run(twice, [incident(detected_by=("errors",))]))
    assert found.median_detect == timedelta(hours=1)
    assert found.median_resolve == timedelta(hours=8)
    still = of(run([*twice, alert(hour=15, resolved=None)], [incident(detected_by=("errors",))]))
    assert (still.median_resolve, still.still_firing) == (None, 1)
    lasting = of(run(twice, [incident(end=None, detected_by=("errors",))]))
    assert (lasting.median_resolve, lasting.still_firing) == (None, 0)
    before = of(run([alert(hour=10, resolved=11)], [incident(detected_by=("errors",))]))
    assert before.median_resolve == timedelta(hours=-1)


def test_the_period_bounds_what_is_reported_but_not_what_belongs():
    before = incident("before", 90, 95)
    last = incident("last", 199, 210)
    # About the incident from before; fires after the end.
    alerts = [alert(hour=100), alert(hour=205)]
    found = run(alerts, [before, last], start=100, end=200)
    assert [result.incident.incident_id for result in found.incidents] == ["last"]
    assert found.incidents[0].outcome == "caught"
    assert (of(found).alerts, of(found).false_alarms) == (1, 0)


def test_the_worst_seven_days():
    week = 24 * 7
    found = run([alert(hour=hour) for hour in (0, week - 1, week, week + 1)], [])
    assert found.most_in_a_week("page") == 3
    assert found.most_in_a_week("ticket") == 0


def test_refuses_an_empty_period_and_a_name_without_a_rule():
    with pytest.raises(ValueError, match="is empty"):
        run([], [], start=5, end=5)
    with pytest.raises(ValueError, match="other"):
        run([alert("other")], [])


# Against a simulation that walks through the hours


def quarters(most):
    """Quarters of a day: few moments, so that bounds are met."""
    return st.integers(0, most).map(lambda count: 6 * count)


hours = quarters(16)
alerts = st.builds(
    lambda name, hour, lasts, model, looks_back: alert(
        name, hour, None if lasts is None else hour + lasts, model, looks_back
    ),
    st.sampled_from(list(SEVERITIES)),
    hours,
    st.none() | quarters(4),
    st.sampled_from(["churn", "fraud"]),
    quarters(4),
)
incidents = st.lists(
    st.builds(
        lambda start, lasts, model, detected_by, seen_in: {
            "start": start,
            "end": None if lasts is None else start + lasts,
            "model_name": model,
            "detected_by": detected_by,
            "seen_in": seen_in,
        },
        hours,
        st.none() | quarters(4),
        st.sampled_from([None, "churn", "fraud"]),
        st.sampled_from([(), ("errors",), ("errors*",), ("drift", "errors_slow"), ("gone",)]),
        st.sampled_from([(), ("field_issues",)]),
    ),
    max_size=5,
)
#: What each pattern stands for, spelled out.
MEANT = {
    "errors": {"errors"},
    "errors*": {"errors", "errors_slow"},
    "drift": {"drift"},
    "errors_slow": {"errors_slow"},
    "gone": set(),
}


def catchers(fields):
    if fields["detected_by"]:
        return set().union(*(MEANT[name] for name in fields["detected_by"]))
    return set() if fields["seen_in"] else set(SEVERITIES)


@given(st.lists(alerts, max_size=12), incidents, quarters(12), st.none() | quarters(3))
def test_matching_equals_a_walk_through_the_hours(fired, given_incidents, start, tolerance):
    end = start + 42
    found = run(
        fired,
        [incident(str(number), **fields) for number, fields in enumerate(given_incidents)],
        start,
        end,
        tolerance=None if tolerance is None else timedelta(hours=tolerance),
    )

    calendar = {hour: [] for hour in range(96 + 1)}
    for number, one in enumerate(fired):
        calendar[round((one.fired_at - ZERO) / timedelta(hours=1))].append(number)
    owners = {number: [] for number in range(len(fired))}
    first = {number: {} for number in range(len(given_incidents))}
    ends = {number: {} for number in range(len(given_incidents))}
    for hour, numbers in calendar.items():
        for number in numbers:
            one = fired[number]
            more = (
                tolerance if tolerance is not None
                else one.looks_back / timedelta(hours=1) + 24
            )  # fmt: skip
            for place, fields in enumerate(given_incidents):
                is_on = fields["start"] <= hour and (
                    fields["end"] is None or hour <= fields["end"] + more
                )
                if is_on and fields["model_name"] in (None, one.model_name):
                    owners[number].append(place)
                    first[place].setdefault(one.alert_name, hour - fields["start"])
                    ends[place].setdefault(one.alert_name, []).append(one.resolved_at)

    reported = [p for p, fields in enumerate(given_incidents) if start <= fields["start"] < end]
    inside = [
        number for hour, numbers in calendar.items() if start <= hour < end for number in numbers
    ]
    by_id = {int(result.incident.incident_id): result for result in found.incidents}
    assert sorted(by_id) == reported
    for place in reported:
        fields, result = given_incidents[place], by_id[place]
        caught = {name: hour for name, hour in first[place].items() if name in catchers(fields)}
        assert {name: after / timedelta(hours=1) for name, after in result.caught_by} == caught
        assert set(result.side_effects) == set(first[place]) - set(caught)
        is_for_rules = bool(fields["detected_by"]) or not fields["seen_in"]
        assert result.outcome == ("caught" if caught else "missed" if is_for_rules else "no rule")
        assert result.time_to_detect == (timedelta(hours=min(caught.values())) if caught else None)

    for name in SEVERITIES:
        result = of(found, name)
        own = [number for number in inside if fired[number].alert_name == name]
        assert result.alerts == len(own)
        assert result.alerts_a_week == pytest.approx(4 * len(own))
        assert result.false_alarms == sum(not owners[number] for number in own)
        assert result.side_effects == sum(
            bool(owners[number])
            and not any(name in catchers(given_incidents[place]) for place in owners[number])
            for number in own
        )
        asked = [
            place for place in reported
            if name in catchers(given_incidents[place])
            and (given_incidents[place]["detected_by"] or name in first[place])
        ]  # fmt: skip
        caught = [place for place in asked if name in first[place]]
        assert (result.expected, result.caught) == (len(asked), len(caught))
        assert result.median_detect == (
            timedelta(hours=median(first[place][name] for place in caught)) if caught else None
        )
        over = [place for place in caught if given_incidents[place]["end"] is not None]
        done = [
            max(ends[place][name]) - at(given_incidents[place]["end"])
            for place in over
            if None not in ends[place][name]
        ]
        assert result.still_firing == len(over) - len(done)
        assert result.median_resolve == (median(done) if done else None)
    assert found.caught == sum(result.outcome == "caught" for result in by_id.values())
    assert len(found.false_alarms) == sum(not owners[number] for number in inside)
