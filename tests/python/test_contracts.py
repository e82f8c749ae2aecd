"""The JSON Schemas of what services log: well formed, explained, and saying what they mean."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[2]
SCHEMAS = {
    name: json.loads((ROOT / "contracts" / f"{name}.schema.json").read_text())
    for name in ("inference_event", "label")
}
VALIDATORS = {
    name: Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    for name, schema in SCHEMAS.items()
}
REJECT, FIELD_ISSUE = "reject", "field_issue"


def violations(schema_name: str, record: Any) -> set[tuple[str, str]]:
    """What is wrong with a record: pairs of consequence and field ('' is the whole record).

    The keyword x-on-violation stands in the same schema object as the assertion that failed.
    """
    found = set()
    for error in VALIDATORS[schema_name].iter_errors(record):
        if error.validator == "required":
            fields = set(error.validator_value) - set(error.instance)
        else:
            fields = {".".join(map(str, error.absolute_path))}
        found |= {(error.schema["x-on-violation"], field) for field in fields}
    return found


def schema_objects(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schema and those of its parts whose assertions a record can fail."""
    yield schema
    for part in [*schema.get("properties", {}).values(), *schema.get("allOf", [])]:
        yield from schema_objects(part)
    if "then" in schema:
        yield from schema_objects(schema["then"])


@pytest.fixture
def event() -> dict[str, Any]:
    return dict(SCHEMAS["inference_event"]["examples"][0])


@pytest.fixture
def label() -> dict[str, Any]:
    return dict(SCHEMAS["label"]["examples"][0])


@pytest.mark.parametrize("name", SCHEMAS)
class TestSchema:
    def test_is_valid_draft_2020_12(self, name):
        assert SCHEMAS[name]["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
        Draft202012Validator.check_schema(SCHEMAS[name])

    def test_is_named_by_a_urn(self, name):
        assert SCHEMAS[name]["$id"] == f"urn:ml-monitoring:{name}:1"

    def test_every_property_is_explained(self, name):
        for field, schema in SCHEMAS[name]["properties"].items():
            assert len(schema["description"]) > 20, field
            assert schema["examples"], field
            assert schema["x-on-violation"] in (REJECT, FIELD_ISSUE), field

    def test_every_assertion_has_a_consequence(self, name):
        assertions = {"type", "enum", "required", "minimum", "maximum", "pattern", "minLength"}
        for schema in schema_objects(SCHEMAS[name]):
            if assertions & schema.keys():
                assert schema["x-on-violation"] in (REJECT, FIELD_ISSUE), schema

    def test_examples_are_valid(self, name):
        for example in SCHEMAS[name]["examples"]:
            assert violations(name, example) == set()
        for schema in SCHEMAS[name]["properties"].values():
            validator = VALIDATORS[name].evolve(schema=schema)
            for example in schema["examples"]:
                validator.validate(example)

    def test_the_documentation_lists_every_field(self, name):
        table_rows = (ROOT / "docs" / "logging.md").read_text().split(f"<!-- {name} -->")[1]
        documented = re.findall(r"^\| `(\w+)` \|", table_rows.split("\n\n")[1], re.MULTILINE)
        assert documented == list(SCHEMAS[name]["properties"])

    @pytest.mark.parametrize("record", [[], [1], 42, "text", None, True])
    def test_a_record_is_an_object(self, name, record):
        assert violations(name, record) == {(REJECT, "")}


TIMES = [
    "2013-07-01T10:15:00Z",
    "2013-07-01T10:15:00.1Z",
    "2013-07-01T10:15:00.123456789123Z",
    "2013-07-01t10:15:00z",
    "2013-07-01T06:15:00-04:00",
    "2013-07-01T10:15:00+00:00",
    "2012-02-29T23:59:59+23:59",
    "2000-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
]
NO_TIMES = [
    "",
    "infinity",
    "epoch",
    "now",
    "2013-07-01",
    "2013-07-01T10:15:00",  # no offset: which instant is unknown
    "2013-07-01 10:15:00Z",
    "2013-07-01T10:15Z",
    "2013-07-01T10:15:00.Z",
    "2013-07-01T10:15:00+0400",
    "2013-07-01T10:15:00+04",
    "2013-07-01T10:15:00+24:00",
    "2013-07-01T24:00:00Z",
    "2013-07-01T10:60:00Z",
    "2013-07-01T23:59:60Z",
    "2013-02-29T10:15:00Z",
    "2013-04-31T10:15:00Z",
    "2013-13-01T10:15:00Z",
    "2013-00-01T10:15:00Z",
    "1999-12-31T23:59:59Z",
    "1970-01-01T00:00:00Z",
    "12013-07-01T10:15:00Z",
    " 2013-07-01T10:15:00Z",
    "2013-07-01T10:15:00Z ",
    "2013-07-01T10:15:00Z\n",  # Python's $ matches before a trailing newline
    "2013-07-01T10:15:00Z\n2013-07-01T10:15:00Z",
    "٢٠١٣-07-01T10:15:00Z",  # Python's \d takes any decimal digit
    1372673700,
    None,
    True,
]


@pytest.mark.parametrize("time", TIMES)
def test_times(event, label, time):
    assert violations("inference_event", event | {"ts": time}) == set()
    assert violations("label", label | {"labeled_at": time}) == set()


@pytest.mark.parametrize("time", NO_TIMES)
def test_no_times(event, label, time):
    assert violations("inference_event", event | {"ts": time}) == {(REJECT, "ts")}
    assert violations("label", label | {"labeled_at": time}) == {(REJECT, "labeled_at")}


def test_only_identity_time_and_status_reject_an_event():
    rejecting = {
        field
        for field, schema in SCHEMAS["inference_event"]["properties"].items()
        if schema["x-on-violation"] == REJECT
    }
    assert rejecting == {"request_id", "model", "model_version", "role", "ts", "status"}


def test_a_minimal_event(event):
    required = ["request_id", "ts", "model", "model_version", "status", "latency_ms", "score"]
    assert violations("inference_event", {field: event[field] for field in required}) == set()


@pytest.mark.parametrize(
    "field", ["request_id", "ts", "model", "model_version", "status", "latency_ms", "score"]
)
def test_a_missing_field(event, field):
    consequence = SCHEMAS["inference_event"]["properties"][field]["x-on-violation"]
    expected = {(consequence, field)}
    assert violations("inference_event", event | {field: None}) == expected
    del event[field]
    assert violations("inference_event", event) == expected


@pytest.mark.parametrize("status", [400, 404, 500, 599])
@pytest.mark.parametrize("without_score", [{}, {"score": None}])
def test_an_error_needs_no_score(event, status, without_score):
    del event["score"]
    assert violations("inference_event", event | {"status": status} | without_score) == set()


@pytest.mark.parametrize(
    "change",
    [
        {"role": None},
        {"status": 200.0},
        {"latency_ms": 0},
        {"latency_ms": 1e9},
        {"score": -12.5},  # a regression's; the range follows the task, which SQL knows
        {"score": 3},
        {"prediction": ""},
        {"prediction": 0.5},
        {"features": {}},
        {"features": {"nested": {"a": [1]}, "flag": True, "": None}},
        {"something_else": {"is": ["ignored"]}},
        dict.fromkeys(
            [
                "inference_time_ms",
                "prediction",
                "features",
                "attributes",
                "feature_hash",
                "trace_id",
                "upstream",
                "preprocessing",
            ]
        ),
    ],
    ids=str,
)
def test_valid_events(event, change):
    assert violations("inference_event", event | change) == set()


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("request_id", ["", 42, True, {}]),
        ("model", ["", 42]),
        ("model_version", ["", 2]),
        ("role", ["", "Live", "canary", 1]),
        ("status", [0, 99, 600, 200.5, "200", True, []]),
        ("latency_ms", [-0.001, 1e9 + 1, "12.5", True, 10**400]),
        ("inference_time_ms", [-1, 2e9, "1", False]),
        ("score", ["0.5", True, [0.5], float("inf"), -float("inf"), 10**400]),
        ("prediction", [True, False, [], {}, float("inf")]),
        ("features", [[], "carrier", 1, True]),
        ("attributes", [[], "country", 1]),
        ("feature_hash", ["", "A" * 64, "a" * 63, "a" * 64 + "\n", 1]),
        ("trace_id", [1, {}]),
        ("upstream", [[], "weather_api"]),
        ("preprocessing", [[], True]),
    ],
)
def test_invalid_events(event, field, values):
    consequence = SCHEMAS["inference_event"]["properties"][field]["x-on-violation"]
    for value in values:
        found = violations("inference_event", event | {field: value})
        assert found == {(consequence, field)}, value


@pytest.mark.parametrize("value", [0, 1, -3.5, "late", "0"])
@pytest.mark.parametrize("model", [{}, {"model": None}, {"model": "flight_delay"}])
def test_valid_labels(label, value, model):
    assert violations("label", label | {"label": value} | model) == set()


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("request_id", ["", 42, None]),
        ("label", ["", True, None, [], {}, float("inf"), 10**400]),
        ("model", ["", 1]),
    ],
)
def test_invalid_labels(label, field, values):
    for value in values:
        assert violations("label", label | {field: value}) == {(REJECT, field)}, value


@pytest.mark.parametrize("field", ["request_id", "label", "labeled_at"])
def test_a_missing_field_of_a_label(label, field):
    del label[field]
    assert violations("label", label) == {(REJECT, field)}
