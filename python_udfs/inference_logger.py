"""Log inferences and labels as JSON lines for ml-monitoring.

One file, standard library only (Python 3.11 or newer): copy it into your service::

    log = InferenceLogger("data/landing")
    log.inference(
        request_id="5f1c1f4e", model="flight_delay", model_version="v1",
        status=200, latency_ms=42.7, score=0.81, features={"carrier": "UA"},
    )

The records follow ``contracts/inference_event.schema.json`` and ``contracts/label.schema.json``;
``docs/logging.md`` explains the fields. Whatever is logged is first made plain JSON:

- scalars and arrays of NumPy, pandas and the like become Python's;
- NaN, infinities, pandas' NA and whatever has no JSON form become null, as JSON has no other word;
- dates become ISO 8601 text, keys become strings;
- a lone surrogate (half an emoji, cut by a client) becomes U+FFFD, since strict parsers refuse
  the whole line for one.

Monitoring must not harm what it watches: a part that cannot be logged becomes null rather than
costing the record, and `InferenceLogger` never raises into the request.
"""

import gzip
import hashlib
import io
import json
import logging
import math
import os
import re
import secrets
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

__all__ = [
    "InferenceLogger",
    "JsonLinesHandler",
    "canonical_json",
    "feature_hash",
    "http_status",
    "inference_event",
    "label_record",
]

_warnings = logging.getLogger(__name__)

# --- Canonical JSON -----------------------------------------------------------------------------

_quote = json.encoder.encode_basestring


def canonical_json(value: Any) -> str:
    """Serialize plain JSON by RFC 8785, the JSON Canonicalization Scheme.

    Equal JSON gives equal text, in every language that implements the RFC: keys in the order of
    their UTF-16 code units, no white space, numbers as ECMAScript prints an IEEE 754 double.

    Parameters
    ----------
    value : dict, list, tuple, str, int, float, bool or None
        Keys must be strings. An integer beyond 2**53 is rounded to the nearest double, as a
        JSON number is one by the RFC; log long identifiers as strings.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        For NaN, infinities, numbers beyond a double, and lone surrogates, as the RFC demands.
    TypeError
        For anything that is not plain JSON.

    References
    ----------
    https://www.rfc-editor.org/rfc/rfc8785

    Examples
    --------
    >>> canonical_json({"b": [1e21, 5.0, -0.0, 1e-7], "a": "€"})
    '{"a":"€","b":[1e+21,5,0,1e-7]}'
    """
    text = _canonical(value)
    if not text.isascii():
        text.encode()  # raises UnicodeEncodeError, a ValueError, for a lone surrogate
    return text


def _canonical(value: Any) -> str:
    writer = _WRITERS.get(type(value))
    if writer is None:
        # Subclasses, such as OrderedDict or numpy.float64, are what they extend.
        writer = next((_WRITERS[kind] for kind in _WRITERS if isinstance(value, kind)), None)
        if writer is None:
            raise TypeError(f"{type(value).__name__} is not plain JSON")
    return writer(value)


def _canonical_float(value: float) -> str:
    """Print as ECMAScript does: Python finds the same digits and lays them out differently."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a JSON number")
    if value.is_integer() and -1e16 < value < 1e16:
        return str(int(value))
    text = float.__repr__(value)
    if "e" not in text:
        return text
    if 1e-6 <= abs(value) < 1e21:
        return format(Decimal(text), "f")
    return text.replace("e-0", "e-")


def _canonical_int(value: int) -> str:
    if -(2**53) < value < 2**53:
        return int.__repr__(value)
    try:
        return _canonical_float(float(value))
    except OverflowError:
        raise ValueError("an integer beyond the range of a double") from None


def _canonical_object(value: Mapping[str, Any]) -> str:
    if all(map(str.isascii, value)):
        keys = sorted(value)
    else:
        # UTF-16 puts the surrogate pairs of emoji before U+E000 and above, code points do not.
        keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
    return "{" + ",".join([f"{_quote(key)}:{_canonical(value[key])}" for key in keys]) + "}"


def _canonical_array(value: list | tuple) -> str:
    return "[" + ",".join([_canonical(item) for item in value]) + "]"


_WRITERS: dict[type, Callable[[Any], str]] = {
    str: _quote,
    float: _canonical_float,
    bool: lambda value: "true" if value else "false",  # before int, which it extends
    int: _canonical_int,
    type(None): lambda _: "null",
    dict: _canonical_object,
    list: _canonical_array,
    tuple: _canonical_array,
}


def feature_hash(features: Mapping[str, Any]) -> str:
    """Hash a model's inputs: SHA-256 of their canonical JSON, in hexadecimal.

    The features are made plain JSON first (see the module's description), so that the hash is
    that of what the log holds: NaN and null hash alike, and 5.0 hashes like 5.

    Examples
    --------
    >>> feature_hash({"distance": 1400.0}) == feature_hash({"distance": 1400})
    True
    """
    return _hash(_plain_object(features))


def _hash(plain: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(plain).encode()).hexdigest()


# --- Plain JSON ---------------------------------------------------------------------------------

# Deeper than any input of a model, and a stop for structures that contain themselves.
_MAX_DEPTH = 32


def _plain(value: Any, depth: int = 0) -> Any:
    """Turn any value into plain JSON; raises for one that is too deep or fails when read."""
    kind = type(value)
    if kind is str:
        return _plain_text(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is bool or value is None:
        return value
    if kind is int:
        return value if -sys.float_info.max <= value <= sys.float_info.max else None
    if depth >= _MAX_DEPTH:
        raise ValueError(f"nested more than {_MAX_DEPTH} levels deep")
    if kind is list or kind is tuple:
        return [_plain(item, depth + 1) for item in value]
    if kind is dict:
        return {_plain_key(key): _plain(item, depth + 1) for key, item in value.items()}
    return _plain_foreign(value, depth + 1)


def _plain_foreign(value: Any, depth: int) -> Any:
    """Unwrap what is not one of JSON's own types, by what it can do, not by whose it is."""
    if isinstance(value, Enum):
        return _plain(value.value, depth)
    for kind, plain in ((str, str.__str__), (int, int.__int__), (float, float.__float__)):
        if isinstance(value, kind):
            return _plain(plain(value), depth)
    if isinstance(value, list | tuple):
        return _plain(list(value), depth)
    if hasattr(value, "items"):  # mappings, and rows of a data frame
        return _plain(dict(value.items()), depth)
    if hasattr(value, "tolist"):  # scalars, arrays and tensors
        unwrapped = value.tolist()
        if type(unwrapped) is not type(value):  # as a long double's is
            return _plain(unwrapped, depth)
    if isinstance(value, date) and value == value:  # NaT is a date, and not equal to itself
        return value.isoformat()
    if hasattr(value, "__float__"):  # Decimal, Fraction
        return _plain(float(value), depth)
    return None


def _plain_text(text: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _plain_key(key: Any) -> str:
    return _plain_text(key if type(key) is str else str(key))


def _plain_or_null(value: Any) -> Any:
    try:
        return _plain(value)
    except Exception:  # whatever a foreign object raises: one bad part must not cost the record
        return None


def _plain_object(value: Mapping[str, Any]) -> dict[str, Any]:
    return {_plain_key(key): _plain_or_null(item) for key, item in value.items()}


# --- Records ------------------------------------------------------------------------------------

# The contract's pattern: fromisoformat alone takes other forms of ISO 8601 too.
_RFC3339 = re.compile(
    "[2-9][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?"
    "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)


def inference_event(
    *,
    request_id: str,
    model: str,
    model_version: str,
    status: int,
    latency_ms: float | None,
    score: float | None = None,
    prediction: str | float | None = None,
    features: Mapping[str, Any] | None = None,
    attributes: Mapping[str, Any] | None = None,
    role: str = "live",
    ts: datetime | str | None = None,
    inference_time_ms: float | None = None,
    trace_id: str | None = None,
    upstream: Mapping[str, Any] | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    with_feature_hash: bool = True,
) -> dict[str, Any]:
    """Build the record of one inference.

    What would make monitoring reject the record is an error here; any other value that the
    contract does not allow, such as a negative latency or a score that is no number, becomes
    null, as monitoring would make it.

    Parameters
    ----------
    request_id, model, model_version : str
        Identity, not empty. A shadow model's event carries the request_id of the live one.
    status : int
        HTTP status, 100 to 599; see `http_status` for gRPC.
    latency_ms : float or None
        Milliseconds from arrival to answer.
    score : float, optional
        Expected when status < 400: the probability, or the predicted value. An array of one
        element, as models return, is unwrapped, here and for the other scalars.
    prediction : str or float, optional
        The class, or the decision. True and False become 1 and 0.
    features, attributes, upstream, preprocessing : mapping, optional
        Inputs, what to slice by, dependencies called, what preprocessing did.
    role : {'live', 'shadow'}
        Whether the answer was served.
    ts : datetime or str, optional
        When the request arrived: an aware datetime or RFC 3339 text. Default: now.
    inference_time_ms : float, optional
        Milliseconds that the model alone took.
    trace_id : str, optional
        The distributed trace.
    with_feature_hash : bool
        Whether to add `feature_hash` of the features.

    Returns
    -------
    dict
        Plain JSON. Optional fields that are null are left out.

    Raises
    ------
    ValueError
        If an identity is no string or empty, the status no integer from 100 to 599, the role
        another word, or ts is naive, no RFC 3339, or before the year 2000.
    """
    if role not in ("live", "shadow"):
        raise ValueError(f"role must be 'live' or 'shadow', got {role!r:.80}")
    plain_features = _object(features)
    record = {
        "request_id": _identity("request_id", request_id),
        "ts": _instant("ts", ts),
        "model": _identity("model", model),
        "model_version": _identity("model_version", model_version),
        "role": role,
        "status": _status(status),
        "latency_ms": _number(latency_ms, 0, 1e9),
        "score": _number(score),
    }
    optional = {
        "inference_time_ms": _number(inference_time_ms, 0, 1e9),
        "prediction": _number_or_text(prediction),
        "features": plain_features,
        "attributes": _object(attributes),
        "feature_hash": (
            _hash(plain_features) if with_feature_hash and plain_features is not None else None
        ),
        "trace_id": _text(trace_id),
        "upstream": _object(upstream),
        "preprocessing": _object(preprocessing),
    }
    record.update((name, value) for name, value in optional.items() if value is not None)
    return record


def label_record(
    *,
    request_id: str,
    label: float | str,
    labeled_at: datetime | str | None = None,
    model: str | None = None,
) -> dict[str, Any]:
    """Build the record of one label.

    Parameters
    ----------
    request_id : str
        That of the inference event.
    label : float or str
        1 or 0 (True and False become these), the true value, or the class's name.
    labeled_at : datetime or str, optional
        When this became known: an aware datetime or RFC 3339 text. Default: now.
    model : str, optional
        Needed where one request_id belongs to several models.

    Returns
    -------
    dict
        Plain JSON.

    Raises
    ------
    ValueError
        If anything would make monitoring reject the label: an empty id, a label that is
        neither a finite number nor text, or a time as `inference_event` refuses it.
    """
    truth = _number_or_text(label)
    if truth is None or truth == "":
        # The type only: the truth about somebody does not belong into a service's log.
        kind = type(label).__name__
        raise ValueError(f"label must be a finite number or a non-empty string, got {kind}")
    record = {
        "request_id": _identity("request_id", request_id),
        "label": truth,
        "labeled_at": _instant("labeled_at", labeled_at),
    }
    if model is not None:
        record["model"] = _identity("model", model)
    return record


def _identity(name: str, value: Any) -> str:
    if not isinstance(value, str) or value == "":
        raise ValueError(f"{name} must be a non-empty string, got {value!r:.80}")
    return _plain_text(str.__str__(value))


def _instant(name: str, value: datetime | str | None) -> str:
    """Return RFC 3339 text in UTC with microseconds."""
    if value is None:
        value = datetime.now(UTC)
    elif isinstance(value, str):
        if not _RFC3339.fullmatch(value):
            raise ValueError(
                f"{name} must be RFC 3339 such as '2026-01-31T12:00:00Z', from the year 2000 on, "
                f"got {value!r:.80}"
            )
        try:
            value = datetime.fromisoformat(value.upper())
        except ValueError as error:
            raise ValueError(f"{name} is no real time ({error}): {value!r:.80}") from None
    # pandas' NaT is a datetime too, and not equal to itself.
    if not isinstance(value, datetime) or value != value or value.utcoffset() is None:
        raise ValueError(
            f"{name} must be a datetime with a time zone, such as datetime.now(UTC), "
            f"got {value!r:.80}"
        )
    try:
        value = value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{name} is no time in UTC: {value!r:.80}") from None
    if value.year < 2000:
        raise ValueError(f"{name} is before the year 2000; is the clock set? Got {value!r:.80}")
    return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _status(value: Any) -> int:
    number = _number(value, 100, 599)
    if number is None or number != int(number):
        raise ValueError(f"status must be an integer from 100 to 599, got {value!r:.80}")
    return int(number)


def _scalar(value: Any) -> Any:
    """Return a plain scalar: models answer one request with arrays of one element."""
    try:
        return _plain(value.item() if hasattr(value, "item") else value)
    except Exception:  # more than one element, or an object that fails when read
        return None


def _number(
    value: Any,
    minimum: float = -sys.float_info.max,
    maximum: float = sys.float_info.max,
) -> float | None:
    number = _scalar(value)
    if type(number) in (int, float) and minimum <= number <= maximum:
        return number
    return None


def _number_or_text(value: Any) -> float | str | None:
    scalar = _scalar(value)
    if type(scalar) is bool:
        return int(scalar)
    return scalar if isinstance(scalar, str | int | float) else None


def _text(value: Any) -> str | None:
    try:
        return None if value is None else _plain_text(str(value))
    except Exception:  # an object that fails when read
        return None


def _object(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    try:
        return None if value is None else _plain_object(value)
    except Exception:  # no mapping, or one that fails when read
        return None


# --- gRPC ---------------------------------------------------------------------------------------

# The mapping that google/rpc/code.proto documents; the numbers are the positions.
_GRPC = {
    "OK": 200,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
_HTTP_STATUSES = _GRPC | dict(enumerate(_GRPC.values()))


def http_status(grpc_code: int | str | Any) -> int:
    """Map a gRPC status code to the HTTP status that monitoring expects.

    Parameters
    ----------
    grpc_code : int, str or enum
        A number, a name in upper case, or a member of an enumeration, such as
        ``grpc.StatusCode.UNAVAILABLE``.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If there is no such code.

    References
    ----------
    https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto

    Examples
    --------
    >>> http_status("UNAVAILABLE"), http_status(14)
    (503, 503)
    """
    code = getattr(grpc_code, "value", grpc_code)
    try:
        # grpc.StatusCode's values are pairs such as (14, 'unavailable').
        return _HTTP_STATUSES[code[0] if isinstance(code, tuple) else code]
    except (KeyError, IndexError, TypeError):
        raise ValueError(
            f"no gRPC code: {grpc_code!r:.80}; allowed are 0 to 16 and {', '.join(_GRPC)}"
        ) from None


# --- Files --------------------------------------------------------------------------------------

# ASCII only: no reader that splits lines at U+2028 or guesses an encoding can break them.
_LINES = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


class JsonLinesHandler(logging.Handler):
    """Write dictionaries as JSON lines into files that ml-monitoring reads.

    A file gets its final name, unique to host, process and moment, when its first record comes,
    and is only ever appended to: it can be read while it grows, a crash leaves it whole but for
    a torn last line, and there is nothing to move, to recover or to share between processes.
    Rotation closes it; the next record opens another.

    Each record is one unbuffered write, so that what was logged survives the process being
    killed. The operating system's buffers are not forced to disk.

    Parameters
    ----------
    folder : str or Path
        Where the files go, in a sub-folder per day.
    max_bytes : int
        Size that a file does not exceed, unless a single record does.
    max_age_seconds : float
        Age at which a file is closed, looked at when a record comes. Monitoring reads a file
        that has grown again as a whole, so that short lives keep its runs cheap.
    compress : bool
        Whether to replace closed files by gzip, in a thread of its own. A reader may meet both
        files for a moment and takes the lines of one for duplicates.

    Attributes
    ----------
    dropped : int
        Records that could not be written.

    Notes
    -----
    It can be used without `InferenceLogger`, in any logging configuration:
    ``logger.info(inference_event(...))``. Messages that are not dictionaries are passed over.
    A forked child opens a file of its own. A closed handler opens another file when a record
    comes late: at shutdown a record matters more than tidiness.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        max_bytes: int = 64 * 2**20,
        max_age_seconds: float = 300,
        compress: bool = False,
    ) -> None:
        super().__init__()
        self.folder = Path(folder).absolute()  # a service may change its directory
        self.max_bytes = max_bytes
        self.max_age_seconds = max_age_seconds
        self.compress = compress
        self.dropped = 0
        self._file: io.FileIO | None = None
        self._size = 0
        self._opened = 0.0
        self._pid = os.getpid()

    def filter(self, record: logging.LogRecord) -> Any:
        """Pass over messages that are no records, lest the handler logs its own warnings."""
        return isinstance(record.msg, dict) and super().filter(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message of a log record, a dictionary of plain JSON."""
        try:
            self.write(record.msg)
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802
        """Count what could not be written, instead of a traceback for each."""
        self.drop(sys.exception())

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record.

        Raises
        ------
        TypeError or ValueError
            If the record is not plain JSON.
        OSError
            If the file cannot be written; it then ends with the last whole record.
        """
        line = _LINES.encode(record).encode() + b"\n"
        with self.lock:
            if self._is_due(len(line)):
                self._rotate()
            if self._file is None:
                self._open()
            self._append(line)

    def drop(self, error: BaseException) -> None:
        """Count a record that is lost, and warn.

        Warns at the 1st, 2nd, 4th, 8th, ... only: a broken service loses one per request, and
        must not flood the log of those who have to repair it.
        """
        with self.lock:
            self.dropped += 1
            count = self.dropped
        if count & (count - 1) == 0:
            _warnings.warning(
                "%s: %d record(s) could not be logged, the last one for %s: %s",
                self.folder,
                count,
                type(error).__name__,
                error,
            )

    def close(self) -> None:
        """Close the file. `logging` does so at exit."""
        with self.lock:
            if self._file is not None:
                self._rotate(in_background=False)
        super().close()

    def _is_due(self, length: int) -> bool:
        return self._file is not None and (
            self._size + length > self.max_bytes
            or time.monotonic() - self._opened >= self.max_age_seconds
            or self._pid != os.getpid()
        )

    def _open(self) -> None:
        now = datetime.now(UTC)
        host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())
        # Containers all have process 1 and may restart within a second: hence the token.
        name = f"{host}-{os.getpid()}-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}.jsonl"
        path = self.folder / f"{now:%Y-%m-%d}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("xb", buffering=0)
        self._size = 0
        self._opened = time.monotonic()
        self._pid = os.getpid()

    def _append(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:  # a full disk may take a part
                rest = rest[self._file.write(rest) :]
        except BaseException:
            # The next record must not be glued to half a line.
            file, self._file = self._file, None
            file.seek(self._size)
            file.truncate()
            self._file = file
            raise
        self._size += len(line)

    def _rotate(self, in_background: bool = True) -> None:
        file, self._file = self._file, None
        file.close()
        if not self.compress or self._pid != os.getpid():  # a forked child: it is the parent's
            return
        path = Path(file.name)
        if in_background:
            try:
                # Not a daemon: the interpreter waits for it.
                threading.Thread(target=_compress, args=(path,), name="compress-log").start()
                return
            except RuntimeError:  # no thread to be had, as at shutdown
                pass
        _compress(path)


def _compress(path: Path) -> None:
    """Replace a file by its gzip, which appears whole or not at all."""
    part = path.with_name(path.name + ".gz.part")
    try:
        with path.open("rb") as source, gzip.open(part, "wb", compresslevel=6) as target:
            shutil.copyfileobj(source, target, 2**20)
        part.replace(path.with_name(path.name + ".gz"))
        path.unlink()
    except OSError as error:
        _warnings.warning("%s stays uncompressed: %s", path, error)
        part.unlink(missing_ok=True)


class InferenceLogger:
    """Log inferences and labels into the landing folder, never raising into the request.

    Safe to share between threads and to carry through a fork. Files are closed at exit.

    Parameters
    ----------
    landing_path : str or Path
        The landing folder of ml-monitoring, or what is shipped to it; on a local disk, since a
        request waits for the write.
    **options
        Those of `JsonLinesHandler`.

    Examples
    --------
    ::

        log = InferenceLogger("data/landing", max_age_seconds=60)
        log.label(request_id="5f1c1f4e", label=1)
    """

    def __init__(self, landing_path: str | Path, **options: Any) -> None:
        landing = Path(landing_path)
        self._inferences = JsonLinesHandler(landing / "inference_events", **options)
        self._labels = JsonLinesHandler(landing / "labels", **options)

    def inference(self, **fields: Any) -> bool:
        """Log one inference; takes what `inference_event` takes.

        Returns
        -------
        bool
            Whether it was written. If not, it is counted in `dropped` and a warning is logged.
        """
        return self._log(self._inferences, inference_event, fields)

    def label(self, **fields: Any) -> bool:
        """Log one label; takes what `label_record` takes. Returns as `inference` does."""
        return self._log(self._labels, label_record, fields)

    @property
    def dropped(self) -> int:
        """Number of records that could not be logged."""
        return self._inferences.dropped + self._labels.dropped

    def close(self) -> None:
        """Close the files, compressing them if so told."""
        self._inferences.close()
        self._labels.close()

    def __enter__(self) -> "InferenceLogger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def _log(
        handler: JsonLinesHandler, build: Callable[..., dict[str, Any]], fields: dict[str, Any]
    ) -> bool:
        try:
            handler.write(build(**fields))
        except Exception as error:
            handler.drop(error)
            return False
        return True
