"""Which notifications are due: from alerts, triggers, and what has been told before. Pure.

An alert in the tables has no identity that lasts: late data moves its start, and with it its
``alert_id``; two alerts become one, or one is gone. What was told to people is an *incident*, which
the ledger keeps: it follows its alert through rewritten history, and what is told about it is a
sequence of firing, resolved and retracted, each under a key that stays the same however often it
is sent.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

#: What was last told about an incident.
UNTOLD, FIRING, RESOLVED, RETRACTED = "untold", "firing", "resolved", "retracted"
RETRAINING = "retraining"
SEVERITIES = ("page", "ticket", "info")
CHANNELS = (*SEVERITIES, RETRAINING)

#: An alert with another severity is another alert: other people are told.
GROUP = ("kind", "alert_name", "model_name", "model_version", "role", "severity")
#: What late data shows to have been, and to be over: told if it was over so long before the last
#: run at the most. A new rule finds years of such alerts.
LOOKBACK = timedelta(days=1)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Incident:
    """An alert as people know it.

    Attributes
    ----------
    incident_id : str
        Its name in keys, which outlives every ``alert_id``.
    told : str
        What was last told about it.
    ordinal : int
        How often it was told to have begun.
    alert : mapping
        The row of ``alerts`` that it was last seen as.
    seen_at : datetime
        When that was: the moment that the tables looked back from.
    """

    incident_id: str
    told: str
    ordinal: int
    alert: Row
    seen_at: datetime

    @property
    def span(self) -> tuple[datetime, datetime]:
        """The time that it is known to have lasted, [start, end)."""
        return span_of(self.alert, self.seen_at)


@dataclass(frozen=True)
class Trigger:
    """A retraining trigger that has been seen.

    Attributes
    ----------
    trigger_id : str
        What it is called in ``retraining_triggers`` now.
    key : str
        The key that it was told under.
    incident_id : str or None
        The incident that it came from.
    is_told : bool
        Whether there is a message for it.
    """

    trigger_id: str
    key: str
    incident_id: str | None
    is_told: bool


@dataclass(frozen=True)
class Change:
    """Something to tell.

    Attributes
    ----------
    key : str
        The same whenever this change is told: what receivers de-duplicate by.
    subject : str
        The incident or trigger; what is told about one subject is told in order.
    ordinal : int
        Which firing of the incident it is, or ends.
    state : str
        ``firing``, ``resolved``, ``retracted``, or ``triggered`` for a retraining trigger.
    channel : str
        Who is told: a severity, or ``retraining``.
    row : mapping
        The row of ``alerts`` or ``retraining_triggers``.
    is_first : bool
        Whether nothing was told of it before.
    """

    key: str
    subject: str
    ordinal: int
    state: str
    channel: str
    row: Row
    is_first: bool = False


@dataclass(frozen=True)
class Memory:
    """What the ledger remembers of earlier runs.

    Attributes
    ----------
    incidents, triggers : tuple
        All that have been seen.
    began, as_of : datetime or None
        The moments that the first and the last run looked at; None before the first one.
    """

    incidents: tuple[Incident, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    began: datetime | None = None
    as_of: datetime | None = None

    def is_news(self, moment: datetime | None) -> bool:
        """Return whether what was over at a moment is news, if it was not known before."""
        if moment is None or self.as_of is None:
            return False
        return moment > max(self.began, self.as_of - LOOKBACK)


@dataclass
class Plan:
    """What to remember and what to tell, which must be recorded together.

    Attributes
    ----------
    incidents, triggers : list
        Those that are new or have changed.
    gone_triggers : list of str
        Identifiers of triggers that go by another one now.
    changes : list of Change
        What to tell, in order.
    passed_over : dict
        How many alerts and triggers were not told, by the reason.
    """

    incidents: list[Incident] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    gone_triggers: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    passed_over: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def plan(
    alerts: list[Row],
    triggers: list[Row],
    as_of: datetime,
    memory: Memory,
    channels: Collection[str] = CHANNELS,
) -> Plan:
    """Find what is to be told.

    Parameters
    ----------
    alerts : list of mappings
        The rows of ``alert_board``. Those that are pending count as not there.
    triggers : list of mappings
        The rows of ``retraining_triggers``.
    as_of : datetime
        The moment that both look back from.
    memory : Memory
        What earlier runs have left.
    channels : collection of str
        The channels that have a target. Nothing is planned for others: what still fires when they
        have one is told then.

    Returns
    -------
    Plan
        Empty where nothing has changed since the run before.
    """
    made = Plan()
    groups: dict[tuple, tuple[list[Incident], list[Row]]] = defaultdict(lambda: ([], []))
    for incident in memory.incidents:
        groups[group_of(incident.alert)][0].append(incident)
    for alert in alerts:
        if alert["state"] in (FIRING, RESOLVED) and alert["fired_at"]:
            groups[group_of(alert)][1].append(alert)
    names = {incident.incident_id for incident in memory.incidents}
    incident_of: dict[str, str] = {}
    for group in sorted(groups, key=repr):
        incidents, rows = groups[group]
        pairs, gone, rest = match(incidents, rows)
        is_heard = channel_of(rows[0] if rows else incidents[0].alert) in channels
        for incident, alert in pairs:
            incident_of[alert["alert_id"]] = incident.incident_id
            seen = replace(incident, alert=alert, seen_at=as_of)
            is_news = follow(made, seen, is_heard=is_heard)
            if not is_news and not is_settled(incident, alert):
                made.incidents.append(seen)
        for incident in gone if is_heard else []:
            if incident.told == FIRING:
                tell(made, incident, RETRACTED)
        for alert in rest:
            name = name_incident(alert, names)
            names.add(name)
            incident_of[alert["alert_id"]] = name
            is_part = any(overlaps(incident, alert) for incident in incidents)
            new = Incident(name, UNTOLD, 0, alert, as_of)
            begin(made, new, memory, is_part, is_heard=is_heard)
    plan_triggers(made, triggers, alerts, memory, incident_of, is_heard=RETRAINING in channels)
    return made


def group_of(alert: Row) -> tuple:
    """Return what two rows share that can be the same alert."""
    return tuple(alert[column] for column in GROUP)


def channel_of(alert: Row) -> str:
    """Return who is told of an alert."""
    return alert["severity"] if alert["severity"] in SEVERITIES else "ticket"


def is_muted(alert: Row) -> bool:
    """Return whether somebody has asked for silence."""
    return bool(alert.get("is_silenced") or alert.get("is_in_maintenance"))


def span_of(alert: Row, until: datetime = datetime.max) -> tuple[datetime, datetime]:
    """Return the time that an alert lasts, [start, end); of one that fires, until a moment."""
    start = alert["started_at"] or alert["fired_at"]
    end = alert["resolved_at"] or max(until, alert["fired_at"])
    return start, max(end, start + timedelta(microseconds=1))


def overlaps(incident: Incident, alert: Row) -> bool:
    """Return whether an incident and an alert share some time."""
    (start, end), (other_start, other_end) = incident.span, span_of(alert)
    return start < other_end and other_start < end


def match(
    incidents: list[Incident], alerts: list[Row]
) -> tuple[list[tuple[Incident, Row]], list[Incident], list[Row]]:
    """Find which alert each incident of a group is now.

    Parameters
    ----------
    incidents : list of Incident
        What is known of the group.
    alerts : list of mappings
        Its rows now.

    Returns
    -------
    pairs : list of (Incident, mapping)
        What belongs together: by ``alert_id``, else by time.
    gone : list of Incident
        Those without an alert.
    rest : list of mappings
        Those without an incident, by time.
    """
    by_id = {alert["alert_id"]: alert for alert in alerts}
    pairs, open_incidents, taken = [], [], set()
    for incident in incidents:
        alert = by_id.get(incident.alert["alert_id"])
        if alert and alert["state"] == RESOLVED and is_settled(incident, alert):
            # Most of history: nothing has moved.
            pairs.append((incident, alert))
            taken.add(alert["alert_id"])
        else:
            open_incidents.append(incident)
    candidates = [
        (preference(incident, alert), incident, alert)
        for incident in open_incidents
        for alert in alerts
        if alert["alert_id"] not in taken
        and (alert["alert_id"] == incident.alert["alert_id"] or overlaps(incident, alert))
    ]
    paired = set()
    for _, incident, alert in sorted(candidates, key=lambda candidate: candidate[0]):
        if incident.incident_id not in paired and alert["alert_id"] not in taken:
            pairs.append((incident, alert))
            paired.add(incident.incident_id)
            taken.add(alert["alert_id"])
    gone = [incident for incident in open_incidents if incident.incident_id not in paired]
    rest = [alert for alert in alerts if alert["alert_id"] not in taken]
    return pairs, gone, sorted(rest, key=lambda alert: (span_of(alert), alert["alert_id"]))


def is_settled(incident: Incident, alert: Row) -> bool:
    """Return whether an incident is over, and its alert is as it was."""
    return incident.told in (UNTOLD, RESOLVED) and incident.span == span_of(alert)


def preference(incident: Incident, alert: Row) -> tuple:
    """Return how well an incident and an alert fit: the least is taken first."""
    is_other = alert["alert_id"] != incident.alert["alert_id"]
    is_over = alert["state"] != FIRING
    start = span_of(alert)[0]
    # People who know that it fires need no word if something of it still does.
    order = (is_over, is_other) if incident.told == FIRING else (is_other, is_over)
    return (
        incident.told != FIRING, *order, -(start - datetime(1970, 1, 1)).total_seconds(),
        alert["alert_id"], incident.incident_id,
    )  # fmt: skip


def name_incident(alert: Row, names: Collection[str]) -> str:
    """Return a name for a new incident, from its alert: the same in a run that is repeated."""
    number = 1
    while (name := digest(*group_of(alert), alert["alert_id"], number)[:16]) in names:
        number += 1
    return name


def digest(*parts: Any) -> str:
    """Return a hash of values, none of which can be mistaken for two."""
    return hashlib.sha256("\x1f".join(map(repr, parts)).encode()).hexdigest()


def tell(made: Plan, incident: Incident, state: str) -> None:
    """Plan to tell a state of an incident."""
    is_first = state != RETRACTED and incident.told != FIRING
    ordinal = incident.ordinal + is_first
    made.incidents.append(replace(incident, told=state, ordinal=ordinal))
    made.changes.append(
        Change(
            key=digest(incident.incident_id, state, ordinal)[:32],
            subject=incident.incident_id,
            ordinal=ordinal,
            state=state,
            channel=channel_of(incident.alert),
            row=incident.alert,
            is_first=is_first,
        )
    )


def follow(made: Plan, incident: Incident, *, is_heard: bool) -> bool:
    """Plan what to tell of an incident that is there still; return whether that is anything."""
    alert, told = incident.alert, incident.told
    if alert["state"] == FIRING and told != FIRING:
        if not is_heard:
            made.passed_over[f"no target for {channel_of(alert)}"] += 1
        elif is_muted(alert):
            made.passed_over["silenced or in maintenance"] += 1
        else:
            tell(made, incident, FIRING)
            return True
    # What was taken back, and has been after all, is as good as new.
    elif (
        alert["state"] == RESOLVED
        and is_heard
        and (told == FIRING or (told == RETRACTED and not is_muted(alert)))
    ):
        tell(made, incident, RESOLVED)
        return True
    return False


def begin(made: Plan, incident: Incident, memory: Memory, is_part: bool, *, is_heard: bool) -> None:
    """Plan what to tell of an alert that was not known before."""
    alert = incident.alert
    if alert["state"] == FIRING:
        if not is_heard:
            # Not even recorded: it is news when there is somebody to tell.
            made.passed_over[f"no target for {channel_of(alert)}"] += 1
        elif is_muted(alert):
            made.passed_over["silenced or in maintenance"] += 1
            made.incidents.append(incident)
        else:
            tell(made, incident, FIRING)
        return
    if is_part or is_muted(alert) or not is_heard:
        reason = "part of one that was known" if is_part else "over, and nobody was to be told"
    elif not memory.is_news(alert["resolved_at"]):
        reason = "over already"
    else:
        tell(made, incident, RESOLVED)
        return
    made.passed_over[reason] += 1
    made.incidents.append(incident)


def plan_triggers(
    made: Plan,
    triggers: list[Row],
    alerts: list[Row],
    memory: Memory,
    incident_of: dict[str, str],
    *,
    is_heard: bool,
) -> None:
    """Plan which retraining triggers to tell: each once, and none of them back.

    A pipeline that has started is not stopped by a message, and many start at any message.
    """
    firing = {alert["alert_id"] for alert in alerts if alert["state"] == FIRING}
    there = {trigger["trigger_id"] for trigger in triggers}
    known = {trigger.trigger_id for trigger in memory.triggers}
    moved = defaultdict(list)
    for trigger in memory.triggers:
        if trigger.trigger_id not in there and trigger.incident_id:
            moved[trigger.incident_id].append(trigger)
    for row in sorted(triggers, key=lambda row: (row["triggered_at"], row["trigger_id"])):
        if row["trigger_id"] in known:
            continue
        incident_id = incident_of.get(row["alert_id"])
        if moved[incident_id]:
            # Its alert has moved in time, and its own identifier with it.
            before = moved[incident_id].pop(0)
            made.gone_triggers.append(before.trigger_id)
            made.triggers.append(replace(before, trigger_id=row["trigger_id"]))
            continue
        is_news = row["alert_id"] in firing or memory.is_news(row["triggered_at"])
        if is_news and not is_heard:
            made.passed_over[f"no target for {RETRAINING}"] += 1
            continue
        key = digest(RETRAINING, row["model_name"], row["model_version"], row["trigger_id"])[:32]
        made.triggers.append(Trigger(row["trigger_id"], key, incident_id, is_news))
        if is_news:
            made.changes.append(Change(key, key, 1, "triggered", RETRAINING, row, is_first=True))
        else:
            made.passed_over["triggered long ago"] += 1
