"""Set alerts against incidents: what was caught, how fast, and what was a false alarm.

An alert *belongs* to an incident if it fired from the incident's start to its end plus a
tolerance, and is of its model. Windows look back, so an alert may fire after the incident is over
and still be about it: the tolerance is by default what the alert itself looks back on.

- An incident is *caught* by the alerts that belong to it and that it names; by any that belongs to
  it, where it names none.
- An alert that belongs to no incident is a *false alarm*.
- An alert that belongs to incidents which all name others is a *side effect*: neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

WEEK = timedelta(days=7)
#: In this order.
SEVERITIES = ("page", "ticket", "info")
# What an alert was.
CATCH, SIDE_EFFECT, FALSE_ALARM = "catch", "side effect", "false alarm"


@dataclass(frozen=True)
class Alert:
    """One alert that has fired.

    Attributes
    ----------
    alert_name, model_name : str
    fired_at : datetime
        In UTC, without a zone, as all times here.
    resolved_at : datetime or None
        None while it is firing.
    looks_back : timedelta
        The length of its window, and how long after it the labels count as known.
    """

    alert_name: str
    model_name: str
    fired_at: datetime
    resolved_at: datetime | None
    looks_back: timedelta


@dataclass(frozen=True)
class Incident:
    """Something that went wrong.

    Attributes
    ----------
    incident_id : str
    started_at : datetime
    ended_at : datetime or None
        None while it lasts.
    model_name : str or None
        None for any model.
    detected_by : tuple of str
        Names of the alerts that should catch it; one that ends in ``*`` is a prefix. Empty: any
        alert will do.
    seen_in : tuple of str
        Tables that show it. An incident that names tables and no alert is one that no rule can
        catch.
    """

    incident_id: str
    started_at: datetime
    ended_at: datetime | None = None
    model_name: str | None = None
    detected_by: tuple[str, ...] = ()
    seen_in: tuple[str, ...] = ()

    @property
    def is_for_rules(self) -> bool:
        """Whether some rule should catch it."""
        return bool(self.detected_by) or not self.seen_in

    def names(self, alert_name: str) -> bool:
        """Whether an alert of that name is one of those that should catch it."""
        return any(stands_for(name, alert_name) for name in self.detected_by)

    def accepts(self, alert_name: str) -> bool:
        """Whether an alert of that name catches it."""
        return self.names(alert_name) or (self.is_for_rules and not self.detected_by)


@dataclass(frozen=True)
class Period:
    """The time that is reported on, [start, end)."""

    start: datetime
    end: datetime

    @property
    def weeks(self) -> float:
        """Its length."""
        return (self.end - self.start) / WEEK

    def holds(self, moment: datetime) -> bool:
        """Whether a moment lies in it."""
        return self.start <= moment < self.end


@dataclass(frozen=True)
class AlertResult:
    """What the alerts of one name did.

    Attributes
    ----------
    alert_name, severity : str
    alerts : int
        How many fired in the period: false alarms, side effects, and those that caught something.
    false_alarms, side_effects : int
    alerts_a_week, false_alarms_a_week : float
    expected : int
        Incidents of the period that name it; of those that name none, those that it has caught.
    caught : int
        How many of them it has caught.
    median_detect : timedelta or None
        From the start of an incident that it caught to when it first fired.
    median_resolve : timedelta or None
        From the end of an incident that it caught to when the last alert of it had resolved;
        below 0 where that was before the end. Alerts that are firing are not in it.
    still_firing : int
        Incidents that are over, and of which an alert is firing yet.
    """

    alert_name: str
    severity: str
    alerts: int
    alerts_a_week: float
    false_alarms: int
    false_alarms_a_week: float
    side_effects: int
    expected: int
    caught: int
    median_detect: timedelta | None
    median_resolve: timedelta | None
    still_firing: int


@dataclass(frozen=True)
class IncidentResult:
    """What became of one incident of the period.

    Attributes
    ----------
    incident : Incident
    outcome : str
        ``caught``, ``missed``, or ``no rule`` where no rule can catch it.
    caught_by : tuple of (str, timedelta)
        The names that caught it and how long after its start each first fired, first come first.
    side_effects : tuple of str
        Names that fired in it and are none of those that should catch it.
    """

    incident: Incident
    outcome: str
    caught_by: tuple[tuple[str, timedelta], ...]
    side_effects: tuple[str, ...]

    @property
    def time_to_detect(self) -> timedelta | None:
        """When the first of them fired, after the start."""
        return self.caught_by[0][1] if self.caught_by else None


@dataclass(frozen=True)
class Backtest:
    """What rules would have done in a period.

    Attributes
    ----------
    period : Period
    alerts : list of AlertResult
        One for each name, also where it never fired, by severity and name.
    incidents : list of IncidentResult
        Those that started in the period, in order of their start.
    false_alarms : list of (str, Alert)
        The severity of each and itself, in order of time.
    """

    period: Period
    alerts: list[AlertResult]
    incidents: list[IncidentResult]
    false_alarms: list[tuple[str, Alert]]

    @property
    def expected(self) -> int:
        """How many incidents rules should catch."""
        return sum(result.incident.is_for_rules for result in self.incidents)

    @property
    def caught(self) -> int:
        """How many of them were caught."""
        return sum(result.outcome == "caught" for result in self.incidents)

    def false_alarms_a_week(self, severity: str) -> float:
        """Return the false alarms of one severity, per week of the period."""
        return len(self._false_alarms_at(severity)) / self.period.weeks

    def most_in_a_week(self, severity: str) -> int:
        """Return how many false alarms of one severity came in the worst seven days."""
        moments = self._false_alarms_at(severity)
        return max(
            (
                sum(first <= moment < first + WEEK for moment in moments[place:])
                for place, first in enumerate(moments)
            ),
            default=0,
        )

    def _false_alarms_at(self, severity: str) -> list[datetime]:
        return [alert.fired_at for of, alert in self.false_alarms if of == severity]


def stands_for(name: str, alert_name: str) -> bool:
    """Whether a name of ``detected_by`` is that of an alert, or the beginning of it and ``*``."""
    return alert_name.startswith(name[:-1]) if name.endswith("*") else alert_name == name


def belongs(alert: Alert, incident: Incident, tolerance: timedelta | None = None) -> bool:
    """Whether an alert may be about an incident.

    Parameters
    ----------
    alert : Alert
    incident : Incident
    tolerance : timedelta, optional
        How long after the end the alert may fire; by default what it looks back on and a day, in
        which late data can come.
    """
    if incident.model_name not in (None, alert.model_name) or alert.fired_at < incident.started_at:
        return False
    if incident.ended_at is None:
        return True
    if tolerance is None:
        tolerance = alert.looks_back + timedelta(days=1)
    return alert.fired_at <= incident.ended_at + tolerance


def backtest(
    alerts: Iterable[Alert],
    incidents: Iterable[Incident],
    *,
    severities: Mapping[str, str],
    period: Period,
    tolerance: timedelta | None = None,
) -> Backtest:
    """Set alerts against incidents.

    All alerts are set against all incidents. What is then reported are the alerts that fired in
    the period, and the incidents that started in it: an alert just after the beginning may be
    about an incident from before, and one from before the end may be caught after it.

    Parameters
    ----------
    alerts : iterable of Alert
    incidents : iterable of Incident
    severities : mapping of str to str
        The severity of each alert that there is a rule for, by its name.
    period : Period
    tolerance : timedelta, optional
        See `belongs`.

    Raises
    ------
    ValueError
        If the period is empty, or an alert is none of ``severities``.
    """
    if period.end <= period.start:
        raise ValueError(f"the period from {period.start} to {period.end} is empty")
    alerts = sorted(alerts, key=lambda alert: (alert.fired_at, alert.alert_name, alert.model_name))
    unknown = sorted({alert.alert_name for alert in alerts} - set(severities))
    if unknown:
        raise ValueError(f"no severity is given for the alerts {', '.join(unknown)}")
    incidents = sorted(incidents, key=lambda incident: (incident.started_at, incident.incident_id))

    members = [
        (incident, [alert for alert in alerts if belongs(alert, incident, tolerance)])
        for incident in incidents
        if period.holds(incident.started_at)
    ]
    judged = [
        (alert, verdict(alert, [found for found in incidents if belongs(alert, found, tolerance)]))
        for alert in alerts
        if period.holds(alert.fired_at)
    ]
    ranks = {severity: place for place, severity in enumerate(SEVERITIES)}
    return Backtest(
        period,
        [
            alert_result(
                name,
                severities[name],
                [kind for alert, kind in judged if alert.alert_name == name],
                members,
                period,
            )
            for name in sorted(
                severities, key=lambda name: (ranks.get(severities[name], len(ranks)), name)
            )
        ],
        [incident_result(incident, of_incident) for incident, of_incident in members],
        [(severities[alert.alert_name], alert) for alert, kind in judged if kind == FALSE_ALARM],
    )


def verdict(alert: Alert, incidents: Sequence[Incident]) -> str:
    """Say what an alert was, from the incidents that it belongs to."""
    if not incidents:
        return FALSE_ALARM
    if any(incident.accepts(alert.alert_name) for incident in incidents):
        return CATCH
    return SIDE_EFFECT


def alert_result(
    name: str,
    severity: str,
    verdicts: Sequence[str],
    members: Sequence[tuple[Incident, Sequence[Alert]]],
    period: Period,
) -> AlertResult:
    """Sum up the alerts of one name: what each was, and what it did in each incident."""
    expected, detect, resolve, still_firing = 0, [], [], 0
    for incident, alerts in members:
        own = [alert for alert in alerts if alert.alert_name == name]
        if not incident.accepts(name) or not (own or incident.names(name)):
            continue
        expected += 1
        if not own:
            continue
        detect.append(own[0].fired_at - incident.started_at)
        if incident.ended_at is not None:
            ends = [alert.resolved_at for alert in own]
            if None in ends:
                still_firing += 1
            else:
                resolve.append(max(ends) - incident.ended_at)
    return AlertResult(
        alert_name=name,
        severity=severity,
        alerts=len(verdicts),
        alerts_a_week=len(verdicts) / period.weeks,
        false_alarms=verdicts.count(FALSE_ALARM),
        false_alarms_a_week=verdicts.count(FALSE_ALARM) / period.weeks,
        side_effects=verdicts.count(SIDE_EFFECT),
        expected=expected,
        caught=len(detect),
        median_detect=median(detect) if detect else None,
        median_resolve=median(resolve) if resolve else None,
        still_firing=still_firing,
    )


def incident_result(incident: Incident, members: Sequence[Alert]) -> IncidentResult:
    """Say what became of an incident, from the alerts that belong to it in order of time."""
    first: dict[str, timedelta] = {}
    for alert in members:
        first.setdefault(alert.alert_name, alert.fired_at - incident.started_at)
    caught_by = tuple((name, after) for name, after in first.items() if incident.accepts(name))
    return IncidentResult(
        incident,
        "caught" if caught_by else "missed" if incident.is_for_rules else "no rule",
        caught_by,
        tuple(name for name in first if not incident.accepts(name)),
    )
