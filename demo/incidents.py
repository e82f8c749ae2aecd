"""The injected incidents: `incidents.csv` says when and where, this module says what goes wrong.

Each kind is one function in the table of the stage that it acts on: the features that the model
sees, the service's answers, the labels, or the lines of a file.
"""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

INCIDENTS_CSV = Path(__file__).with_name("incidents.csv")

Record = dict[str, Any]


@dataclass(frozen=True)
class Incident:
    """A row of `incidents.csv`: something goes wrong during [started_at, ended_at).

    `detected_at` is a moment at which a build sees it, `detected_by` the target or rule whose alert
    fires then. Where later data leaves no trace of it, `seen_afterwards_in` is the table that still
    tells. `slice` is 'all' or the part affected, such as 'origin=JFK'.
    """

    incident_id: str
    kind: str
    started_at: datetime
    ended_at: datetime
    detected_at: datetime
    detected_by: str
    seen_afterwards_in: str
    model_name: str
    slice: str
    description: str

    def covers(self, times: Any) -> Any:
        """Whether each time lies in the incident."""
        return (times >= self.started_at) & (times < self.ended_at)

    def affects(self, frame: pd.DataFrame, time: str) -> pd.Series:
        """Return the rows of `frame` that lie in the incident and in its slice."""
        affected = self.covers(frame[time])
        if self.slice != "all":
            column, value = self.slice.split("=")
            affected &= frame[column] == value
        return affected


def read_incidents(path: Path = INCIDENTS_CSV) -> list[Incident]:
    """Read the table of incidents."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    times = [field.name for field in fields(Incident) if field.type is datetime]
    return [
        Incident(**row | {name: datetime.fromisoformat(row[name]) for name in times})
        for row in rows
    ]


# --- Features: what the model sees --------------------------------------------------------------


def unit_change(flights: pd.DataFrame, incident: Incident) -> pd.DataFrame:
    """Temperatures in Celsius."""
    affected = incident.affects(flights, "ts")
    celsius = ((flights["temperature_f"] - 32) / 1.8).round(2)
    return flights.assign(temperature_f=flights["temperature_f"].mask(affected, celsius))


def stuck_feature(flights: pd.DataFrame, incident: Incident) -> pd.DataFrame:
    """Keep the wind speed of the first flight affected."""
    affected = incident.affects(flights, "ts")
    stuck = flights.loc[affected, "wind_speed_mph"].dropna().iloc[:1]
    return flights.assign(wind_speed_mph=flights["wind_speed_mph"].mask(affected, stuck.squeeze()))


FEATURE_KINDS = {"unit_change": unit_change, "stuck_feature": stuck_feature}


# --- Answers: what the service does -------------------------------------------------------------


def latency_incident(events: pd.DataFrame, incident: Incident) -> pd.DataFrame:
    """Slow down the weather API, not the model."""
    factor = np.where(incident.affects(events, "ts"), 8.0, 1.0)
    return events.assign(upstream_ms=events["upstream_ms"] * factor)


def error_burst(events: pd.DataFrame, incident: Incident) -> pd.DataFrame:
    """Refuse 8 % of the requests before the model runs."""
    refused = incident.affects(events, "ts") & (events["chance"] < 0.08)
    return events.assign(status=events["status"].mask(refused, 503))


def silent_hour(events: pd.DataFrame, incident: Incident) -> pd.DataFrame:
    """Answer nobody: no request, no line."""
    return events[~incident.affects(events, "ts")]


ANSWER_KINDS = {
    "latency_incident": latency_incident,
    "error_burst": error_burst,
    "silent_hour": silent_hour,
}


# --- Labels -------------------------------------------------------------------------------------


def label_outage(labels: pd.DataFrame, incident: Incident) -> pd.DataFrame:
    """Hold the labels back; the backlog is worked off in order in the twelve hours after."""
    held = incident.affects(labels, "labeled_at")
    length = incident.ended_at - incident.started_at
    position = (labels["labeled_at"] - incident.started_at) / length
    released = incident.ended_at + position * timedelta(hours=12)
    return labels.assign(
        labeled_at=labels["labeled_at"].mask(held, released.dt.as_unit("us").dt.floor("ms"))
    )


def label_correction(labels: pd.DataFrame, incident: Incident) -> pd.DataFrame:
    """Send 30 % of the labels of a day, four days old, again with the opposite value."""
    age = incident.started_at - labels["labeled_at"]
    is_wrong = (age > timedelta(days=4)) & (age <= timedelta(days=5)) & (labels["chance"] < 0.3)
    column, value = incident.slice.split("=")
    corrected = labels[is_wrong & (labels[column] == value)]
    delay = corrected["chance"] / 0.3 * (incident.ended_at - incident.started_at)
    corrected = corrected.assign(
        label=1 - corrected["label"],
        labeled_at=(incident.started_at + delay).dt.as_unit("us").dt.floor("ms"),
    )
    return pd.concat([labels, corrected])


LABEL_KINDS = {"label_outage": label_outage, "label_correction": label_correction}


# --- Lines of an hour's file --------------------------------------------------------------------


def malformed_lines(records: list[Record], rng: np.random.Generator) -> list[Record | str]:
    """Break the lines of 15 % of the records, in each way that a line is rejected for."""
    ways: list[Callable[[Record], Record | str]] = [
        lambda record: json.dumps(record)[:200],
        lambda record: f"Traceback (most recent call last): request {record['request_id']}",
        lambda record: {key: value for key, value in record.items() if key != "request_id"},
        lambda record: record | {"ts": record["ts"].replace("T", " 25:")},
        lambda record: record | {"status": "OK"},
    ]
    return _spoil(records, ways, share=0.15, rng=rng)


def out_of_range_lines(records: list[Record], rng: np.random.Generator) -> list[Record | str]:
    """Give 20 % of the records a value that cannot be; the record itself stays good."""
    ways: list[Callable[[Record], Record | str]] = [
        lambda record: record | {"score": 1.2},
        lambda record: record | {"score": "high"},
        lambda record: record | {"latency_ms": -1.0},
        lambda record: record | {"features": record["features"] | {"visibility_mi": "clear"}},
    ]
    return _spoil(records, ways, share=0.2, rng=rng)


def duplicated_lines(records: list[Record], rng: np.random.Generator) -> list[Record | str]:
    """Send 30 % of the records again; one in three of them with times some milliseconds off."""
    repeated = [record for record in records if rng.random() < 0.3]
    for position, record in enumerate(repeated):
        if position % 3 == 0:
            later = datetime.fromisoformat(record["ts"]) + timedelta(milliseconds=7)
            ts = later.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
            latency_ms = round(record["latency_ms"] + 7.0, 2)
            repeated[position] = record | {"ts": ts, "latency_ms": latency_ms}
    return [*records, *repeated]


LINE_KINDS = {
    "malformed_lines": malformed_lines,
    "out_of_range_lines": out_of_range_lines,
    "duplicated_lines": duplicated_lines,
}


def _spoil(
    records: list[Record],
    ways: list[Callable[[Record], Record | str]],
    *,
    share: float,
    rng: np.random.Generator,
) -> list[Record | str]:
    """Apply the ways in turn to a share of the records."""
    spoiled: list[Record | str] = list(records)
    chosen = np.flatnonzero(rng.random(len(records)) < share)
    for turn, position in enumerate(chosen):
        spoiled[position] = ways[turn % len(ways)](records[position])
    return spoiled
