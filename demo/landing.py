"""The landing files: which record goes into which file, in which form, arriving when.

`inference_events/2013/02/2013-02-15.parquet`        the first weeks: a file a day
`inference_events/2013/04/01/13.jsonl.gz`            from April on: a file an hour
`inference_events/shadow/2013/06/15/13.jsonl.gz`     the shadow model's own
`labels/2013-02/15T12.parquet`, `labels/2013-04/01T12.jsonl.gz`   three hours of labels

A file with fewer than twenty lines is not worth compressing: plain `.jsonl`. Formats and depths
are mixed on purpose, since those of real landing zones are.
"""

import gzip
import itertools
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from demo.flights import ATTRIBUTES, BOOLEAN, CATEGORICAL, FEATURES, INTEGER, WEATHER
from demo.incidents import LINE_KINDS, Incident, Record
from demo.service import generator
from inference_logger import inference_event, label_record

MODEL_NAME = "flight_delay"
JSON_LINES_SINCE = datetime(2013, 4, 1, tzinfo=UTC)
PLAIN_BELOW_LINES = 20
LABEL_FILE_HOURS = 3
TIMES = {"ts", "labeled_at"}
LOGGED_COLUMNS = [
    "request_id",
    "ts",
    "model_version",
    "role",
    "status",
    "latency_ms",
    "inference_time_ms",
    "score",
    "prediction",
    "trace_id",
]

_FEATURE_TYPES = (
    dict.fromkeys(CATEGORICAL, pa.string())
    | dict.fromkeys(BOOLEAN, pa.bool_())
    | dict.fromkeys(INTEGER, pa.int64())
)
EVENT_SCHEMA = pa.schema(
    {
        "request_id": pa.string(),
        "ts": pa.timestamp("us", tz="UTC"),
        "model": pa.string(),
        "model_version": pa.string(),
        "role": pa.string(),
        "status": pa.int32(),
        "latency_ms": pa.float64(),
        "inference_time_ms": pa.float64(),
        "score": pa.float64(),
        "prediction": pa.int8(),
        "features": pa.struct({name: _FEATURE_TYPES.get(name, pa.float64()) for name in FEATURES}),
        "attributes": pa.struct({"aircraft_maker": pa.string(), "aircraft_seats": pa.int64()}),
        "feature_hash": pa.string(),
        "trace_id": pa.string(),
        "upstream": pa.struct(
            {"weather_api": pa.struct({"status": pa.int32(), "latency_ms": pa.float64()})}
        ),
        "preprocessing": pa.struct({"imputed": pa.list_(pa.string())}),
    }
)
LABEL_SCHEMA = pa.schema(
    {
        "request_id": pa.string(),
        "label": pa.int8(),
        "labeled_at": pa.timestamp("us", tz="UTC"),
        "model": pa.string(),
    }
)


@dataclass(frozen=True)
class LandingFile:
    """A file to be: its path below the landing folder, its arrival, and its lines.

    A line is a record, or text that is no record.
    """

    path: str
    arrived_at: datetime
    lines: list[Record | str]

    def write(self, landing: Path) -> None:
        """Write the file; its modification time is its arrival, as if it had been sent then."""
        target = landing / self.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".parquet":
            schema = LABEL_SCHEMA if "label" in self.lines[0] else EVENT_SCHEMA
            pq.write_table(
                pa.Table.from_pylist([_typed(line) for line in self.lines], schema), target
            )
        else:
            text = "".join(f"{_text(line)}\n" for line in self.lines).encode()
            if target.suffix == ".gz":
                # No time of writing in the header: equal content gives equal bytes.
                text = gzip.compress(text, compresslevel=6, mtime=0)
            target.write_bytes(text)
        arrival = self.arrived_at.timestamp()
        os.utime(target, (arrival, arrival))


def event_files(
    events: pd.DataFrame, incidents: list[Incident], seed: int
) -> Iterator[LandingFile]:
    """Put events into files.

    Parameters
    ----------
    events : pandas.DataFrame
        The answered requests; see `event_records`.
    incidents : list of Incident
        Those that act on lines and files; the others are in `events` already.
    seed : int
        Seed of what is drawn per file.
    """
    hours = events["ts"].dt.floor("h")
    starts = hours.where(events["ts"] >= JSON_LINES_SINCE, hours.dt.floor("D"))
    events = events.assign(starts=starts).sort_values(["starts", "role", "ts", "request_id"])
    keys = zip(events["starts"].dt.to_pydatetime(), events["role"].tolist(), strict=True)
    for (start, role), group in itertools.groupby(
        zip(keys, event_records(events), strict=True), key=lambda pair: pair[0]
    ):
        lines = [record for _, record in group]
        folder = "inference_events" if role == "live" else f"inference_events/{role}"
        if start < JSON_LINES_SINCE:
            path = f"{folder}/{start:%Y/%m/%Y-%m-%d}.parquet"
            yield LandingFile(path, start + timedelta(days=1, minutes=20), lines)
            continue
        stem = f"{folder}/{start:%Y/%m/%d/%H}"
        arrived_at = start + timedelta(hours=1) + transfer_time(stem)
        rng = generator(seed, stem)
        retry = None
        for incident in incidents:
            if not incident.covers(start) or role != "live":
                continue
            if incident.kind == "late_file" and start == incident.started_at:
                arrived_at = incident.ended_at
            if incident.kind == "duplicated_lines":
                path = f"{stem}-retry{json_suffix(lines)}"
                retry = LandingFile(path, arrived_at + timedelta(hours=1), lines)
            if incident.kind in LINE_KINDS:
                lines = LINE_KINDS[incident.kind](lines, rng)
        yield LandingFile(f"{stem}{json_suffix(lines)}", arrived_at, lines)
        if retry:
            yield retry


def label_files(labels: pd.DataFrame) -> Iterator[LandingFile]:
    """Put labels (`request_id`, `label`, `labeled_at`) into files of three hours."""
    starts = labels["labeled_at"].dt.floor(f"{LABEL_FILE_HOURS}h")
    labels = labels.assign(starts=starts).sort_values(["labeled_at", "request_id"])
    rows = zip(
        labels["starts"].dt.to_pydatetime(),
        labels["request_id"].tolist(),
        labels["label"].tolist(),
        labels["labeled_at"].dt.to_pydatetime(),
        strict=True,
    )
    for start, group in itertools.groupby(rows, key=lambda row: row[0]):
        lines = [
            label_record(
                request_id=request_id, label=label, labeled_at=labeled_at, model=MODEL_NAME
            )
            for _, request_id, label, labeled_at in group
        ]
        stem = f"labels/{start:%Y-%m/%dT%H}"
        suffix = ".parquet" if start < JSON_LINES_SINCE else json_suffix(lines)
        end = start + timedelta(hours=LABEL_FILE_HOURS)
        yield LandingFile(f"{stem}{suffix}", end + transfer_time(stem), lines)


def event_records(events: pd.DataFrame) -> Iterator[Record]:
    """Log events, in their order, with the same helper that any service may use.

    Parameters
    ----------
    events : pandas.DataFrame
        The columns in `LOGGED_COLUMNS`, `FEATURES` and `ATTRIBUTES`, and `upstream_status` and
        `upstream_ms`.
    """
    names = events.columns.tolist()
    for values in zip(*(_python_values(events[name]) for name in names), strict=True):
        event = dict(zip(names, values, strict=True))
        features = {name: event[name] for name in FEATURES}
        attributes = {name: event[name] for name in ATTRIBUTES if event[name] is not None}
        weather_api = {"status": event["upstream_status"], "latency_ms": event["upstream_ms"]}
        imputed = [name for name in WEATHER if features[name] is None]
        yield inference_event(
            model=MODEL_NAME,
            features=features,
            attributes=attributes,
            upstream={"weather_api": weather_api},
            preprocessing={"imputed": imputed},
            **{name: event[name] for name in LOGGED_COLUMNS},
        )


def transfer_time(stem: str) -> timedelta:
    """From the end of a file's time to its arrival: two to four minutes, fixed by its name."""
    return timedelta(seconds=120 + zlib.crc32(stem.encode()) % 120)


def json_suffix(lines: list) -> str:
    """Whether a file of JSON lines is compressed."""
    return ".jsonl" if len(lines) < PLAIN_BELOW_LINES else ".jsonl.gz"


def _python_values(column: pd.Series) -> list:
    """Return a column as plain Python values, with None for nulls."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column.dt.to_pydatetime().tolist()
    return column.astype(object).where(column.notna(), None).tolist()


def _text(line: Record | str) -> str:
    return line if isinstance(line, str) else json.dumps(line, separators=(",", ":"))


def _typed(record: Record) -> Record:
    """Replace a record's times, which are text in JSON, by instants."""
    return {
        name: datetime.fromisoformat(value) if name in TIMES else value
        for name, value in record.items()
    }
