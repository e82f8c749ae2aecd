"""The logger that services vendor: canonical JSON, records, files."""

import gzip
import http.client
import importlib.util
import json
import logging
import logging.config
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_contracts import FIELD_ISSUE, NO_TIMES, SCHEMAS, TIMES, violations

import inference_logger
from inference_logger import (
    InferenceLogger,
    JsonLinesHandler,
    canonical_json,
    feature_hash,
    http_status,
    inference_event,
    label_record,
)

NAN, INF = float("nan"), float("inf")
unhurried = settings(deadline=None)  # a busy machine is no failure
EVENT = {
    "request_id": "r1",
    "model": "flight_delay",
    "model_version": "v1",
    "status": 200,
    "latency_ms": 12.5,
    "score": 0.5,
}


def read_lines(folder: Path) -> list[dict]:
    """All records under a folder; fails on a file that does not end with a whole line."""
    records = []
    for path in sorted(folder.rglob("*.jsonl")) + sorted(folder.rglob("*.jsonl.gz")):
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        assert content.endswith(b"\n"), path
        records += map(json.loads, content.splitlines())
    return records


def run_python(script: str, *arguments: object, **options) -> subprocess.Popen:
    module = Path(inference_logger.__file__)
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(module.parent)},
        **options,
    )


# --- Canonical JSON -----------------------------------------------------------------------------

RFC_8785_APPENDIX_B = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}

texts = st.text(st.characters())  # lone surrogates among them
plain_texts = st.text()
plain_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | plain_texts,
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(plain_texts, children, max_size=4)
    ),
    max_leaves=12,
)


def as_doubles(value):
    """The value as a reader sees it whose numbers are all doubles."""
    if isinstance(value, dict):
        return {key: as_doubles(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_doubles(item) for item in value]
    return float(value) if type(value) in (int, float) else value


class TestCanonicalJson:
    @pytest.mark.parametrize(("bits", "expected"), RFC_8785_APPENDIX_B.items())
    def test_numbers_of_the_rfc(self, bits, expected):
        (number,) = struct.unpack(">d", bytes.fromhex(bits))
        assert canonical_json(number) == expected

    def test_example_of_the_rfc(self):
        value = json.loads(
            r"""{
              "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
              "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
              "literals": [null, true, false]
            }"""
        )
        assert canonical_json(value) == (
            '{"literals":[null,true,false],'
            '"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
            '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
        )

    def test_sorting_of_the_rfc(self):
        value = {
            "\u20ac": "Euro Sign",
            "\r": "Carriage Return",
            "\ufb33": "Hebrew Letter Dalet With Dagesh",
            "1": "One",
            "\U0001f600": "Emoji: Grinning Face",
            "\u0080": "Control",
            "\u00f6": "Latin Small Letter O With Diaeresis",
        }
        assert list(json.loads(canonical_json(value)).values()) == [
            "Carriage Return",
            "One",
            "Control",
            "Latin Small Letter O With Diaeresis",
            "Euro Sign",
            "Emoji: Grinning Face",
            "Hebrew Letter Dalet With Dagesh",
        ]

    def test_only_what_must_be_escaped_is(self):
        controls = "".join(map(chr, range(0x20)))
        assert canonical_json(controls) == (
            '"' + r"\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f"
            r"\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d"
            r"\u001e\u001f" + '"'
        )
        assert canonical_json('"\\/\x7f\u2028é') == '"\\"\\\\/\x7f\u2028é"'

    @pytest.mark.parametrize(
        ("number", "expected"),
        [
            (5.0, "5"),
            (1e15, "1000000000000000"),
            (1e16, "10000000000000000"),
            (123456789012345680000.0, "123456789012345680000"),
            (0.0001, "0.0001"),
            (0.00001, "0.00001"),
            (1e-7, "1e-7"),
            (1.5e-10, "1.5e-10"),
            (2**53 - 1, "9007199254740991"),
            (2**53 + 1, "9007199254740992"),
            (-(10**30), "-1e+30"),
            (True, "true"),
        ],
    )
    def test_numbers(self, number, expected):
        assert canonical_json(number) == expected

    @unhurried
    @given(plain_json)
    def test_keeps_the_value(self, value):
        assert as_doubles(json.loads(canonical_json(value))) == as_doubles(value)

    @unhurried
    @given(plain_json)
    def test_is_a_fixed_point(self, value):
        text = canonical_json(value)
        assert canonical_json(json.loads(text)) == text

    @unhurried
    @given(st.dictionaries(plain_texts, plain_json, max_size=8), st.randoms())
    def test_order_of_keys_does_not_matter(self, value, random):
        items = list(value.items())
        random.shuffle(items)
        assert canonical_json(dict(items)) == canonical_json(value)

    @unhurried
    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_numbers_are_laid_out_as_ecmascript_does(self, number):
        text = canonical_json(number)
        assert float(text) == number
        if number == 0 or 1e-6 <= abs(number) < 1e21:
            assert re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?", text)
        else:
            assert re.fullmatch(r"-?[1-9](\.[0-9]*[1-9])?e(\+[1-9]|-[1-9])[0-9]*", text)

    @pytest.mark.parametrize("value", [NAN, INF, -INF, 10**400, "\ud83d", {"\ude00": 1}, [[NAN]]])
    def test_what_the_rfc_refuses(self, value):
        with pytest.raises(ValueError):
            canonical_json(value)

    @pytest.mark.parametrize("value", [{1: 2}, {1, 2}, b"bytes", object(), Decimal(1)])
    def test_what_is_not_plain_json(self, value):
        with pytest.raises(TypeError):
            canonical_json(value)

    def test_subclasses_are_what_they_extend(self):
        value = OrderedDict(b=np.float64(0.5), a=IntEnum("Code", {"OK": 1}).OK)
        assert canonical_json(value) == '{"a":1,"b":0.5}'


class TestFeatureHash:
    def test_is_that_of_the_canonical_json(self):
        # printf '{"carrier":"UA","distance":1400,"wind":null}' | sha256sum
        expected = "4837a72cdaae02e4ea561eb2efe352f0320a9f3888ee1aaac6e475fcb272b45a"
        assert feature_hash({"wind": NAN, "distance": 1400.0, "carrier": "UA"}) == expected

    def test_of_numpy_is_that_of_python(self):
        features = {"a": 1.5, "b": 3, "c": True, "d": "text", "e": None, "f": 0.25}
        from_numpy = {
            "a": np.float64(1.5),
            "b": np.int32(3),
            "c": np.bool_(True),
            "d": np.str_("text"),
            "e": np.float32("nan"),
            "f": np.float32(0.25),
        }
        assert feature_hash(from_numpy) == feature_hash(features)
        assert feature_hash(pd.Series(features)) == feature_hash(features)

    def test_differs_where_features_do(self):
        assert feature_hash({"a": 1}) != feature_hash({"a": "1"})
        assert feature_hash({"a": None}) != feature_hash({})


# --- Records ------------------------------------------------------------------------------------


class Hostile:
    """Fails however it is read."""

    def _fail(self, *_):
        raise RuntimeError("hostile")

    __str__ = __float__ = __iter__ = __eq__ = __len__ = _fail
    __hash__ = None
    tolist = item = items = value = property(_fail)

    def __repr__(self):
        return "Hostile()"


class Color(Enum):
    RED = "red"


def endless() -> list:
    value = []
    value += [value, value]
    return value


FOREIGN = [
    np.float32(0.1),
    np.float64(0.5),
    np.float64("nan"),
    np.float32("inf"),
    np.longdouble("0.25"),
    np.int64(3),
    np.uint64(2**64 - 1),
    np.bool_(True),
    np.str_("text"),
    np.datetime64("2013-07-01"),
    np.array([0.5]),
    np.array(0.5),
    np.array([[1, NAN], [2, 3]]),
    pd.NA,
    pd.NaT,
    pd.Timestamp("2013-07-01", tz="UTC"),
    pd.Series({"a": 1, "b": NAN}),
    pd.DataFrame({"a": [1, 2]}),
    Decimal("0.5"),
    Decimal("sNaN"),
    Fraction(1, 2),
    datetime(2013, 7, 1),
    timedelta(1),
    http.HTTPStatus.OK,
    Color.RED,
    {1, 2},
    b"bytes",
    1j,
    object(),
    Hostile,
    Hostile(),
    endless(),
    10**400,
    -(10**400),
    "\ud83d",
    "",
    "\x00",
]
nasty_scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.sampled_from(FOREIGN)
)
nasty = st.recursive(
    nasty_scalars,
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(texts | st.integers(), children, max_size=3)
    ),
    max_leaves=6,
)


OPTIONAL = [
    "latency_ms",
    "inference_time_ms",
    "score",
    "prediction",
    "features",
    "attributes",
    "trace_id",
    "upstream",
    "preprocessing",
]


class TestInferenceEvent:
    def test_a_full_record(self):
        record = inference_event(
            request_id="r1",
            model="flight_delay",
            model_version="v2",
            role="shadow",
            status=http.HTTPStatus.OK,
            latency_ms=np.float64(12.5),
            inference_time_ms=3,
            score=np.array([0.75]),
            prediction=np.bool_(True),
            features={"carrier": "UA", "distance": np.int64(1400), "wind": NAN},
            attributes={"country": "US"},
            ts=datetime(2013, 7, 1, 6, 15, tzinfo=timezone(timedelta(hours=-4))),
            trace_id="4bf9",
            upstream={"weather_api": {"status": 200, "latency_ms": np.float32(0.5)}},
            preprocessing={"wind_imputed": True},
        )
        assert record == {
            "request_id": "r1",
            "ts": "2013-07-01T10:15:00.000000Z",
            "model": "flight_delay",
            "model_version": "v2",
            "role": "shadow",
            "status": 200,
            "latency_ms": 12.5,
            "score": 0.75,
            "inference_time_ms": 3,
            "prediction": 1,
            "features": {"carrier": "UA", "distance": 1400, "wind": None},
            "attributes": {"country": "US"},
            "feature_hash": feature_hash({"carrier": "UA", "distance": 1400, "wind": None}),
            "trace_id": "4bf9",
            "upstream": {"weather_api": {"status": 200, "latency_ms": 0.5}},
            "preprocessing": {"wind_imputed": True},
        }
        assert violations("inference_event", record) == set()
        assert set(record) == set(SCHEMAS["inference_event"]["properties"])

    def test_a_minimal_record(self):
        record = inference_event(**EVENT)
        assert violations("inference_event", record) == set()
        assert record.keys() == {*EVENT, "role", "ts"}
        now = datetime.now(UTC)
        assert now - timedelta(seconds=5) < datetime.fromisoformat(record["ts"]) <= now

    @pytest.mark.parametrize("bad", [NAN, INF, -INF, -1, 1e9 + 1, "12.5", True, None, [1, 2]])
    def test_a_bad_latency_is_null(self, bad):
        assert inference_event(**EVENT | {"latency_ms": bad})["latency_ms"] is None

    @pytest.mark.parametrize("bad", [NAN, np.float32("nan"), INF, "0.5", True, np.array([0.5, 1])])
    def test_a_bad_score_is_null(self, bad):
        assert inference_event(**EVENT | {"score": bad})["score"] is None

    @pytest.mark.parametrize("bad", [[1, 2], "carrier", 3, np.array([1.0]), Hostile()])
    def test_features_without_names_are_left_out(self, bad):
        record = inference_event(**EVENT, features=bad)
        assert "features" not in record and "feature_hash" not in record

    def test_one_bad_feature_does_not_cost_the_others(self):
        features = {"a": 1, "b": Hostile(), "c": endless(), "d": {1, 2}, 5: "five"}
        record = inference_event(**EVENT, features=features)
        assert record["features"] == {"a": 1, "b": None, "c": None, "d": None, "5": "five"}

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (np.float32(0.5), 0.5),
            (np.longdouble("0.25"), 0.25),
            (np.uint64(2**64 - 1), 2**64 - 1),
            (np.bool_(False), False),
            (np.str_("text"), "text"),
            (np.array([[1, NAN], [2, 3]]), [[1, None], [2, 3]]),
            ((1, {"b": np.int8(2)}), [1, {"b": 2}]),
            (OrderedDict(a=INF), {"a": None}),
            (pd.Series({"a": 1.0, "b": NAN}), {"a": 1.0, "b": None}),
            (pd.Timestamp("2013-07-01T10:15:00Z"), "2013-07-01T10:15:00+00:00"),
            (datetime(2013, 7, 1).date(), "2013-07-01"),
            (Decimal("0.5"), 0.5),
            (Fraction(1, 2), 0.5),
            (Color.RED, "red"),
            (http.HTTPStatus.OK, 200),
            *[(missing, None) for missing in (pd.NA, pd.NaT, np.datetime64("NaT"), -INF, 10**400)],
            *[(no_json, None) for no_json in ({1}, b"bytes", 1j, object(), Decimal("sNaN"))],
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_foreign_values(self, value, expected):
        features = inference_event(**EVENT, features={"a": value})["features"]
        assert features == {"a": expected}
        assert type(features["a"]) is type(expected)

    @pytest.mark.parametrize("depth", [*range(30, 36), *range(50, 1000, 50), 10_000])
    def test_depth_does_not_cost_the_record(self, depth):
        value = 1
        for _ in range(depth):
            value = [value]
        record = inference_event(**EVENT, features={"deep": value, "a": 1})
        assert record["features"] == {"deep": value if depth <= 32 else None, "a": 1}

    def test_half_an_emoji_is_replaced(self):
        # DuckDB, among others, refuses the whole line for a lone surrogate.
        record = inference_event(**EVENT, features={"\ud83d": "cut \ud83d", "\ud83d\ude00": 1})
        assert record["features"] == {"\ufffd": "cut \ufffd", "\U0001f600": 1}

    def test_no_hash_on_request(self):
        assert "feature_hash" not in inference_event(
            **EVENT, features={"a": 1}, with_feature_hash=False
        )

    @pytest.mark.parametrize("time", TIMES)
    def test_text_is_a_time(self, time):
        if time.startswith("2012-02-29T23:59:59+23:59"):
            expected = "2012-02-29T00:00:59.000000Z"
            assert inference_event(**EVENT, ts=time)["ts"] == expected
        assert violations("inference_event", inference_event(**EVENT, ts=time)) == set()

    @pytest.mark.parametrize(
        "time",
        [time for time in NO_TIMES if time is not None]
        + [
            datetime(2013, 7, 1),
            datetime(1970, 1, 1, tzinfo=UTC),
            datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
            datetime(2000, 1, 1, tzinfo=timezone(timedelta(hours=5))),
            "2000-01-01T00:00:00+05:00",
            pd.NaT,
            b"2013-07-01T10:15:00Z",
        ],
    )
    def test_what_is_no_time(self, time):
        with pytest.raises(ValueError, match="ts"):
            inference_event(**EVENT, ts=time)

    def test_the_pattern_of_times_is_the_contracts(self):
        pattern = SCHEMAS["inference_event"]["properties"]["ts"]["pattern"]
        assert pattern == f"^{inference_logger._RFC3339.pattern}$"
        assert pattern == SCHEMAS["label"]["properties"]["labeled_at"]["pattern"]

    @pytest.mark.parametrize(
        ("field", "values"),
        [
            ("request_id", ["", None, 42, b"r1"]),
            ("model", ["", None, 1]),
            ("model_version", ["", None, 2]),
            ("role", ["", None, "Live", "canary"]),
            ("status", [None, "200", True, 99, 600, 200.5, NAN, [200, 200]]),
        ],
    )
    def test_what_would_be_rejected_is_an_error(self, field, values):
        for value in values:
            with pytest.raises(ValueError, match=field):
                inference_event(**EVENT | {field: value})

    @pytest.mark.parametrize("status", [200.0, np.int64(200), np.array([200]), http.HTTPStatus.OK])
    def test_status_is_an_integer(self, status):
        assert type(inference_event(**EVENT | {"status": status})["status"]) is int

    @pytest.mark.parametrize("value", FOREIGN, ids=lambda value: type(value).__name__)
    def test_no_value_costs_the_record(self, value):
        for field in OPTIONAL:
            record = inference_event(**EVENT | {field: value})
            missing = {
                (FIELD_ISSUE, name) for name in ("latency_ms", "score") if record[name] is None
            }
            assert violations("inference_event", json.loads(json.dumps(record))) <= missing

    @unhurried
    @given(
        identity=st.tuples(*[texts.filter(len)] * 3),
        status=st.integers(100, 599) | st.sampled_from([200.0, np.int16(404)]),
        role=st.sampled_from(["live", "shadow"]),
        ts=st.none()
        | st.datetimes(datetime(2000, 1, 2), datetime(9999, 12, 30), timezones=st.timezones()),
        optional=st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(OPTIONAL, nasty)
            | {"features": st.dictionaries(texts | st.integers(), nasty, max_size=4)},
        ),
    )
    def test_whatever_is_given_the_record_is_valid(self, identity, status, role, ts, optional):
        request_id, model, model_version = identity
        required = {
            "request_id": request_id,
            "model": model,
            "model_version": model_version,
            "status": status,
            "role": role,
            "ts": ts,
        }
        record = inference_event(**EVENT | required | optional)
        line = json.dumps(record, allow_nan=False).encode()
        assert json.loads(line) == record
        # What the service did not give, the record cannot have.
        missing = {(FIELD_ISSUE, name) for name in ("latency_ms", "score") if record[name] is None}
        assert violations("inference_event", record) <= missing
        if "features" in record:
            assert record["feature_hash"] == feature_hash(json.loads(line)["features"])
            assert record["feature_hash"] == feature_hash(optional["features"])


class TestLabelRecord:
    @pytest.mark.parametrize(
        ("label", "expected"),
        [
            (1, 1),
            (0.5, 0.5),
            ("late", "late"),
            (True, 1),
            (np.bool_(False), 0),
            (np.float32(1), 1.0),
            (np.array([3]), 3),
            (Color.RED, "red"),
        ],
    )
    def test_labels(self, label, expected):
        record = label_record(request_id="r1", label=label, labeled_at="2013-07-01T14:02:00Z")
        assert record == {
            "request_id": "r1",
            "label": expected,
            "labeled_at": "2013-07-01T14:02:00.000000Z",
        }
        assert type(record["label"]) is type(expected)
        assert violations("label", record) == set()

    @pytest.mark.parametrize("label", [None, NAN, INF, "", [], {}, pd.NA, 10**400, object()])
    def test_what_is_no_label(self, label):
        with pytest.raises(ValueError, match="label"):
            label_record(request_id="r1", label=label)

    def test_known_now_unless_told(self):
        record = label_record(request_id="r1", label=1, model="flight_delay")
        assert violations("label", record) == set()
        assert record["model"] == "flight_delay"

    @pytest.mark.parametrize(
        "change", [{"request_id": ""}, {"model": ""}, {"labeled_at": datetime(2013, 7, 1)}]
    )
    def test_what_would_be_rejected_is_an_error(self, change):
        with pytest.raises(ValueError, match=next(iter(change))):
            label_record(**{"request_id": "r1", "label": 1} | change)

    @unhurried
    @given(nasty)
    def test_valid_or_refused(self, label):
        try:
            record = label_record(request_id="r1", label=label)
        except ValueError:
            return
        assert violations("label", json.loads(json.dumps(record))) == set()


class TestHttpStatus:
    CODES = (
        "OK 200, CANCELLED 499, UNKNOWN 500, INVALID_ARGUMENT 400, DEADLINE_EXCEEDED 504, "
        "NOT_FOUND 404, ALREADY_EXISTS 409, PERMISSION_DENIED 403, RESOURCE_EXHAUSTED 429, "
        "FAILED_PRECONDITION 400, ABORTED 409, OUT_OF_RANGE 400, UNIMPLEMENTED 501, "
        "INTERNAL 500, UNAVAILABLE 503, DATA_LOSS 500, UNAUTHENTICATED 401"
    )

    def test_by_number_name_and_member(self):
        names, statuses = zip(*(code.split() for code in self.CODES.split(", ")), strict=True)
        # Members of grpc.StatusCode have pairs as values, those of protobuf's enums are integers.
        grpc = Enum("StatusCode", {n: (i, n.lower()) for i, n in enumerate(names)})
        protobuf = IntEnum("Code", {name: number for number, name in enumerate(names)})
        for number, (name, status) in enumerate(zip(names, map(int, statuses), strict=True)):
            for code in (number, name, grpc[name], protobuf[name], np.int64(number)):
                assert http_status(code) == status

    @pytest.mark.parametrize("code", [17, -1, "ok", "", None, [], (), {}])
    def test_no_such_code(self, code):
        with pytest.raises(ValueError, match="gRPC"):
            http_status(code)


# --- Files --------------------------------------------------------------------------------------


class TestJsonLinesHandler:
    def test_a_record_is_readable_at_once(self, tmp_path):
        handler = JsonLinesHandler(tmp_path)
        handler.write({"text": "zwei\nZeilen \u2028 \U0001f600"})
        (path,) = tmp_path.rglob("*.jsonl")
        assert path.read_bytes() == b'{"text":"zwei\\nZeilen \\u2028 \\ud83d\\ude00"}\n'
        assert path.parent.name == f"{datetime.now(UTC):%Y-%m-%d}"
        assert str(os.getpid()) in path.name
        handler.close()

    @pytest.mark.parametrize("record", [{"a": NAN}, {"a": {1, 2}}])
    def test_writes_nothing_but_json(self, tmp_path, record):
        handler = JsonLinesHandler(tmp_path)
        with pytest.raises((TypeError, ValueError)):
            handler.write(record)
        assert list(tmp_path.iterdir()) == []

    def test_no_record_no_file(self, tmp_path):
        JsonLinesHandler(tmp_path / "inference_events").close()
        assert list(tmp_path.iterdir()) == []

    def test_rotates_by_size(self, tmp_path):
        handler = JsonLinesHandler(tmp_path, max_bytes=100)
        for number in range(50):
            handler.write({"number": number})
        handler.write({"long": "x" * 200})
        handler.close()
        sizes = [path.stat().st_size for path in tmp_path.rglob("*.jsonl")]
        assert sorted(sizes)[-2] <= 100 < max(sizes)
        assert len(sizes) == 9
        assert sorted(r["number"] for r in read_lines(tmp_path) if "number" in r) == [*range(50)]

    def test_rotates_by_age(self, tmp_path, monkeypatch):
        clock = 0.0
        monkeypatch.setattr(inference_logger.time, "monotonic", lambda: clock)
        handler = JsonLinesHandler(tmp_path, max_age_seconds=300)
        for clock in (0, 299, 300, 301, 600, 1000):  # noqa: B007
            handler.write({})
        handler.close()
        contents = sorted(path.read_text() for path in tmp_path.rglob("*.jsonl"))
        assert [text.count("\n") for text in contents] == [1, 1, 2, 2]

    @pytest.mark.parametrize("compress", [False, True])
    def test_threads_lose_no_line(self, tmp_path, compress):
        handler = JsonLinesHandler(tmp_path, max_bytes=20_000, compress=compress)

        def work(worker):
            for number in range(500):
                handler.write({"worker": worker, "number": number, "pad": "x" * (number % 50)})

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        handler.close()
        for thread in threading.enumerate():
            if thread.name == "compress-log":
                thread.join()
        records = [(record["worker"], record["number"]) for record in read_lines(tmp_path)]
        assert sorted(records) == [(w, n) for w in range(8) for n in range(500)]
        suffixes = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
        assert suffixes == {".gz" if compress else ".jsonl"}

    def test_processes_share_no_file(self, tmp_path):
        script = """
import sys
from inference_logger import InferenceLogger
with InferenceLogger(sys.argv[1], max_bytes=20_000) as log:
    for number in range(500):
        assert log.label(request_id=f"{sys.argv[2]}-{number}", label=1)
"""
        processes = [run_python(script, tmp_path, name) for name in "ab"]
        assert [process.wait(timeout=30) for process in processes] == [0, 0]
        assert sorted(record["request_id"] for record in read_lines(tmp_path)) == sorted(
            f"{name}-{number}" for name in "ab" for number in range(500)
        )

    def test_a_forked_child_opens_its_own_file(self, tmp_path):
        handler = JsonLinesHandler(tmp_path, compress=True)
        handler.write({"from": "parent", "number": 1})
        for writes in (True, False):
            child = os.fork()
            if child == 0:
                try:
                    if writes:
                        handler.write({"from": "child"})
                    handler.close()
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
        handler.write({"from": "parent", "number": 2})
        handler.close()
        files = [gzip.decompress(path.read_bytes()) for path in tmp_path.rglob("*.jsonl.gz")]
        assert sorted(files) == [
            b'{"from":"child"}\n',
            b'{"from":"parent","number":1}\n{"from":"parent","number":2}\n',
        ]

    def test_a_killed_process_loses_nothing(self, tmp_path):
        script = """
import sys
from inference_logger import InferenceLogger
log = InferenceLogger(sys.argv[1])
number = 0
while True:
    log.label(request_id=str(number), label=1)
    print(number, flush=True)
    number += 1
"""
        process = run_python(script, tmp_path, stdout=subprocess.PIPE, text=True)
        for _ in range(100):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        printed = process.stdout.read().split()
        process.wait()
        (path,) = tmp_path.rglob("*.jsonl")
        lines = path.read_text().split("\n")[:-1]  # what follows the last newline may be torn
        assert len(lines) > int(printed[-1] if printed else 99)

    def test_closes_at_exit(self, tmp_path):
        script = """
import sys
from inference_logger import InferenceLogger
log = InferenceLogger(sys.argv[1], compress=True)
log.label(request_id="r1", label=1)
"""
        assert run_python(script, tmp_path).wait(timeout=30) == 0
        (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
        assert path.name.endswith(".jsonl.gz")
        assert [record["request_id"] for record in read_lines(tmp_path)] == ["r1"]

    def test_a_full_disk_leaves_whole_lines(self, tmp_path):
        # A limit on the file's size does what a full disk does: a part is written, then an error.
        script = """
import resource, sys
from inference_logger import InferenceLogger
limit = resource.RLIM_INFINITY
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit))
log = InferenceLogger(sys.argv[1])
written = sum(log.label(request_id=str(number), label=1) for number in range(100))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
assert 0 < written < 100 and log.dropped == 100 - written, written
assert log.label(request_id="after", label=1)
print(written + 1)
"""
        process = run_python(
            script, tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        output, warnings = process.communicate(timeout=30)
        records = read_lines(tmp_path)
        assert len(records) == int(output)
        assert records[-1]["request_id"] == "after"
        assert "File too large" in warnings

    def test_a_late_record_is_not_lost(self, tmp_path):
        handler = JsonLinesHandler(tmp_path)
        handler.write({"number": 1})
        logging.shutdown([lambda: handler])
        handler.write({"number": 2})
        handler.close()
        assert len(read_lines(tmp_path)) == 2

    def test_in_a_logging_configuration(self, tmp_path, caplog):
        logging.config.dictConfig(
            {
                "version": 1,
                "incremental": False,
                "disable_existing_loggers": False,
                "handlers": {
                    "jsonl": {
                        "class": "inference_logger.JsonLinesHandler",
                        "folder": str(tmp_path),
                        "max_age_seconds": 60,
                    }
                },
                "loggers": {"requests": {"handlers": ["jsonl"], "level": "INFO"}},
            }
        )
        logger = logging.getLogger("requests")
        logger.info(inference_event(**EVENT))
        logger.info("no record, passed over: %s", 1)
        logger.info({"not": {"plain", "JSON"}})
        (handler,) = logger.handlers
        logger.removeHandler(handler)
        handler.close()
        assert [record["request_id"] for record in read_lines(tmp_path)] == ["r1"]
        assert handler.dropped == 1
        assert "TypeError" in caplog.text

    def test_does_not_log_its_own_warnings(self, tmp_path):
        handler = JsonLinesHandler(tmp_path)
        logging.getLogger().addHandler(handler)
        try:
            handler.drop(OSError("disk full"))
        finally:
            logging.getLogger().removeHandler(handler)
        assert handler.dropped == 1
        assert read_lines(tmp_path) == []


class TestInferenceLogger:
    def test_where_records_go(self, tmp_path):
        with InferenceLogger(tmp_path) as log:
            assert log.inference(**EVENT, features={"wind": NAN})
            assert log.label(request_id="r1", label=1)
        (event,) = read_lines(tmp_path / "inference_events")
        (label,) = read_lines(tmp_path / "labels")
        assert violations("inference_event", event) == set()
        assert event["features"] == {"wind": None}
        assert violations("label", label) == set()
        assert log.dropped == 0

    def test_invalid_records_are_counted_and_reported(self, tmp_path, caplog):
        with InferenceLogger(tmp_path) as log:
            assert not log.inference(**EVENT | {"status": 0})
            assert not log.inference(**EVENT, unknown_field=1)
            assert not log.inference()
            assert not log.label(request_id="r1", label=None)
            assert log.inference(**EVENT)
        assert log.dropped == 4
        assert len(read_lines(tmp_path)) == 1
        assert "status must be an integer from 100 to 599, got 0" in caplog.text
        assert {record.name for record in caplog.records} == {"inference_logger"}

    def test_warnings_do_not_flood(self, tmp_path, caplog):
        log = InferenceLogger(tmp_path)
        for _ in range(1000):
            log.label(request_id="", label=1)
        assert log.dropped == 1000
        assert len(caplog.records) == 10

    def test_warnings_hold_no_features_and_no_labels(self, tmp_path, caplog):
        log = InferenceLogger(tmp_path)
        log.inference(**EVENT | {"status": 0, "score": 123456}, features={"income": 123456})
        log.label(request_id="r1", label=[123456])
        assert len(caplog.records) == log.dropped == 2
        assert "123456" not in caplog.text

    def test_never_raises(self, tmp_path, caplog):
        (tmp_path / "inference_events").write_text("a file where the folder should be")
        log = InferenceLogger(tmp_path)
        assert not log.inference(**EVENT)
        assert not log.inference(**EVENT | {"request_id": Hostile(), "status": Hostile()})
        assert log.dropped == 2
        assert "could not be logged" in caplog.text

    def test_depends_on_the_standard_library_only(self):
        source = Path(inference_logger.__file__).read_text()
        modules = re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE)
        assert set(modules) <= sys.stdlib_module_names

    def test_costs_little(self, tmp_path):
        """Not a benchmark: it catches an accident, such as a scan per record, on any machine."""
        features = {f"feature_{number}": number * 0.37 for number in range(25)}
        with InferenceLogger(tmp_path) as log:
            start = time.perf_counter()
            for _ in range(1000):
                log.inference(**EVENT, features=features)
            assert time.perf_counter() - start < 2


# --- The example of the documentation -----------------------------------------------------------


@pytest.fixture(scope="module")
def example():
    path = Path(__file__).parents[2] / "docs" / "examples" / "flight_delay_service.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ask(example, tmp_path):
    """A function that posts to a running service; closed, it returns all that was logged."""
    service = example.DelayService(InferenceLogger(tmp_path))
    server = example.make_server(service, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()

    def post(path, body):
        connection = http.client.HTTPConnection(*server.server_address, timeout=10)
        connection.request("POST", path, body if isinstance(body, bytes) else json.dumps(body))
        response = connection.getresponse()
        answer = json.load(response)
        connection.close()
        return response.status, answer

    def close():
        if thread.is_alive():
            server.shutdown()
            thread.join()
            server.server_close()
            service.close()
        return read_lines(tmp_path / "inference_events"), read_lines(tmp_path / "labels")

    post.close = close
    yield post
    close()


FLIGHT = {"carrier": "UA", "hour": 17, "origin_delay_minutes": 12, "country": "US"}


class TestExampleService:
    def test_live_and_shadow_are_logged_with_one_request_id(self, ask):
        answers = [ask("/predict", FLIGHT) for _ in range(5)]
        events, _ = ask.close()
        assert all(violations("inference_event", event) == set() for event in events)
        assert len(events) == 10
        for status, answer in answers:
            assert status == 200
            pair = [event for event in events if event["request_id"] == answer["request_id"]]
            live, shadow = sorted(pair, key=lambda event: event["role"])
            assert (live["role"], live["model_version"]) == ("live", "v1")
            assert (shadow["role"], shadow["model_version"]) == ("shadow", "v2")
            assert live["score"] == answer["probability"] != shadow["score"]
            assert live["feature_hash"] == shadow["feature_hash"]
            assert live["attributes"] == {"country": "US"}
            assert live["latency_ms"] >= live["inference_time_ms"]

    def test_what_was_made_up_is_logged(self, ask):
        ask("/predict", {"carrier": "UA", "hour": 17})
        events, _ = ask.close()
        (live,) = (event for event in events if event["role"] == "live")
        assert live["features"]["origin_delay_minutes"] == 0
        assert live["preprocessing"] == {"origin_delay_imputed": True}

    @pytest.mark.parametrize("body", [b"no JSON", b"[]", b"{}", {"carrier": "UA", "hour": "5"}])
    def test_bad_requests_are_logged_as_errors(self, ask, body):
        status, answer = ask("/predict", body)
        (event,), _ = ask.close()
        assert status == event["status"] == 400
        assert event["request_id"] == answer["request_id"]
        assert violations("inference_event", event) == set()

    def test_a_broken_model_is_logged_as_an_error(self, ask, example, monkeypatch):
        monkeypatch.setattr(example, "LIVE", SimpleNamespace(version="v1", predict=lambda _: 1 / 0))
        status, answer = ask("/predict", FLIGHT)
        (event,), _ = ask.close()
        assert status == event["status"] == 500
        assert "ZeroDivisionError" not in str(answer)

    def test_a_broken_shadow_does_no_harm(self, ask, example, monkeypatch):
        broken = SimpleNamespace(version="v2", predict=lambda _: 1 / 0)
        monkeypatch.setattr(example, "SHADOW", broken)
        status, _ = ask("/predict", FLIGHT)
        events, _ = ask.close()
        assert status == 200
        assert {event["role"]: event["status"] for event in events} == {"live": 200, "shadow": 500}

    def test_labels(self, ask):
        _, answer = ask("/predict", FLIGHT)
        label = {"request_id": answer["request_id"], "label": 1}
        assert ask("/labels", label | {"labeled_at": "2013-07-01T14:02:00Z"})[0] == 202
        assert ask("/labels", {"label": 1})[0] == 400
        assert ask("/labels", b"no JSON")[0] == 400
        _, labels = ask.close()
        assert [record["request_id"] for record in labels] == [answer["request_id"]]
        assert violations("label", labels[0]) == set()
