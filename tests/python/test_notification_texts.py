"""What notifications say, and what they never do."""

import json
import re
import unicodedata
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_texts import compose, plain
from notifications import Memory, plan
from tests.python.notifier_database import RAW, alert, at, trigger

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "contracts" / "notification.schema.json").read_text())
FORMATS = jsonschema.Draft202012Validator.FORMAT_CHECKER
PENDING = alert(state="pending", fired_at=None)
LINES = [
    {"slice_key": "origin", "slice_value": value, "feature": None, "state": "firing",
     "started_at": at("01 08:00"), "fired_at": at("01 08:30"), "resolved_at": None,
     "worst_value": 512.0, "last_value": 430.0}
    for value in ("JFK", "EWR", "LGA")
]  # fmt: skip
DETAILS = {"summary": "churn v1: p95 is 430", "likely_cause": "v1 went live", "lines": LINES}
HOSTILE = "JFK\r\n## <!channel> @everyone `x` [a](http://b.c) <b>&lt;</b> \x1b[31m\u202e\u2028end"


def message_of(*alerts, triggers=(), details=DETAILS, prefix="", before=()):
    memory = Memory()
    if before:
        incidents = tuple(plan(list(before), [], at("01 09:00"), memory).incidents)
        memory = Memory(incidents, (), at("01 07:00"), at("01 09:00"))
    [change] = plan(list(alerts), list(triggers), at("01 10:00"), memory).changes
    return compose(change, details, prefix)


def test_firing():
    message = message_of(
        alert(
            slice_key="origin",
            slice_value="JFK",
            line_count=5,
            owner="ml-team",
            condition_count=2,
            compare_to="ratio_to_baseline",
        ),
        prefix="https://git.example.org/monitoring/",
    )
    assert message.title == "[PAGE] p95 firing: churn v1 live"
    assert message.kind == "failure" and message.channel == "page"
    assert message.body.splitlines() == [
        "What: churn v1: p95 is 430",
        "Since: 2024-03-01 08:00 UTC, fired 2024-03-01 08:30 UTC",
        "How bad: worst 512, last 430, rule: latency_p95_ms > 250 (ratio to baseline) and 1 more",
        "Where: origin = JFK; 4 more: origin = EWR, origin = LGA, ...",
        "Likely cause: v1 went live",
        "Runbook: https://git.example.org/monitoring/docs/runbooks/latency.md",
        "Owner: ml-team",
        f"Alert: a1, incident {message.subject}-1",
        f"Key: {message.key}",
    ]


def test_what_is_not_there_is_left_out():
    message = message_of(
        alert(severity="info", runbook=None, worst_value=None, last_value=None, role="all",
              data_status="no_data", model_version="all", metric="request_count"),
        details={},
    )  # fmt: skip
    assert message.title == "[INFO] p95 firing: churn"
    assert [line.split(": ")[0] for line in message.body.splitlines()] == [
        "What", "Since", "How bad", "Where", "Alert", "Key",
    ]  # fmt: skip
    assert "What: request_count over 1h\n" in message.body
    assert "How bad: it could not be judged, for want of data\n" in message.body
    assert "Where: all requests\n" in message.body


def test_resolved_and_retracted():
    end = {"state": "resolved", "resolved_at": at("02 10:15")}
    ended = message_of(alert(**end), before=[alert()])
    assert ended.title == "[PAGE] p95 resolved: churn v1 live" and ended.kind == "success"
    assert "resolved 2024-03-02 10:15 UTC after 1 d 2 h\n" in ended.body
    assert "It is over already" not in ended.body and "Likely cause" not in ended.body
    gone = message_of(before=[alert()])
    assert gone.title == "[PAGE] p95 retracted: churn v1 live" and gone.kind == "success"
    assert gone.body.startswith("Retracted: With data that arrived later")
    assert gone.event["alert"]["alert_id"] == "a1"


def test_resolved_between_two_runs_says_so():
    other = alert(alert_name="other")
    over = alert(state="resolved", resolved_at=at("01 08:45"))
    message = message_of(other, over, before=[other])
    assert message.body.startswith("Resolved: It is over already")


def test_retraining():
    message = message_of(triggers=[trigger()], before=[PENDING], details={})
    assert message.title == "[RETRAINING] churn v1: p95"
    assert "Train on: 2024-03-01 to 2024-03-29, 28 days, 12,000 labels\n" in message.body
    assert message.event == {
        "event": "retraining_trigger", "idempotency_key": message.key, "trigger_id": "t1",
        "model_name": "churn", "model_version": "v1", "role": "live", "data_status": "ok",
        "triggered_at": "2024-03-01T08:30:00Z",
        "alert_id": "a1", "alert_name": "p95", "reason": "AUC fell", "evidence": "roc_auc 0.61",
        "training_window_start": "2024-03-01T00:00:00Z",
        "training_window_end": "2024-03-29T00:00:00Z", "excluded_periods": None,
        "training_day_count": 28, "labeled_count": 12000,
    }  # fmt: skip


def test_an_event_has_what_the_text_says_as_data():
    message = message_of(alert(worst_value=float("nan")))
    event = json.loads(json.dumps(message.event, allow_nan=False))
    assert event["event"] == "alert" and event["state"] == "firing" and event["ordinal"] == 1
    assert event["idempotency_key"] == message.key and event["incident_id"] == message.subject
    assert event["alert"]["fired_at"] == "2024-03-01T08:30:00Z"
    assert event["alert"]["worst_value"] is None
    assert [line["slice_value"] for line in event["lines"]] == ["JFK", "EWR", "LGA"]
    assert event["likely_cause"] == "v1 went live"


def examples():
    """Events of each kind, with as much and as little in them as there can be."""
    end = {"state": "resolved", "resolved_at": at("02 10:15")}
    bare = dict.fromkeys(("owner", "feature", "worst_value", "last_value", "runbook", "window_end"))
    yield message_of(alert()).event
    yield message_of(alert(**bare), details={}).event
    yield message_of(alert(**end), before=[alert()], details={}).event
    yield message_of(before=[alert()], details={}).event
    for data_status in ("ok", "no_data"):
        row = trigger(data_status=data_status, training_window_start=None)
        yield message_of(triggers=[row], before=[PENDING]).event


def test_events_are_as_the_contract_says():
    check = jsonschema.Draft202012Validator(SCHEMA, format_checker=FORMATS)
    check.check_schema(SCHEMA)
    for event in examples():
        check.validate(event)
        known = SCHEMA["properties"] | SCHEMA["$defs"][event["event"]]["properties"]
        assert event.keys() == known.keys()
        if event["event"] == "alert":
            assert event["alert"].keys() == known["alert"]["properties"].keys()
            for line in event["lines"]:
                assert line.keys() == known["lines"]["items"]["properties"].keys()
    # It can fail.
    for broken in ({"event": "other"}, {"state": "pending"}, {"idempotency_key": "short"}):
        with pytest.raises(jsonschema.ValidationError):
            check.validate(message_of(alert()).event | broken)


def test_the_documentation_shows_what_is_sent():
    text = (ROOT / "docs" / "notifications.md").read_text()
    body, event = (json.loads(shown) for shown in re.findall(r"```json\n(.*?)```", text, re.S))
    jsonschema.validate(event, SCHEMA)
    assert list(event) == list(message_of(triggers=[trigger()], before=[PENDING]).event)
    assert list(body["event"]) == list(message_of(alert()).event)


def test_no_column_is_sent_that_is_not_listed():
    row = alert() | {"raw_feature": RAW}
    details = DETAILS | {"raw_feature": RAW, "lines": [LINES[0] | {"raw_feature": RAW}]}
    for message in (
        message_of(row, details=details),
        message_of(triggers=[trigger() | {"raw_feature": RAW}], before=[PENDING]),
    ):
        assert RAW not in message.body + message.title + json.dumps(message.event)


HARMLESS = re.compile(r"[@`\n\r]|<[!@#/a-zA-Z]|\]\(|&#?\w+;|://|www\.")


@pytest.mark.parametrize(
    "column",
    ["alert_name", "model_name", "model_version", "slice_key", "slice_value", "feature", "metric",
     "owner", "compare_to", "runbook", "window_size"],
)  # fmt: skip
def test_hostile_names_stay_in_their_line(column):
    hostile = alert(**{"slice_key": "origin", column: HOSTILE})
    message = message_of(hostile, details={"lines": [LINES[0] | {"slice_value": HOSTILE}]})
    assert "\n" not in message.title and not HARMLESS.search(message.title)
    lines = message.body.splitlines()
    assert not any(HARMLESS.search(line) for line in lines)
    names = [line.split(":")[0] for line in lines]
    assert [name for name in names if name != "Owner"] == [
        "What", "Since", "How bad", "Where", "Runbook", "Alert", "Key",
    ]  # fmt: skip
    assert message.event["alert"][column] == HOSTILE


@given(st.text(max_size=300))
def test_plain_text(text):
    found = plain(text)
    assert len(found) <= 100 and not HARMLESS.search(found)
    assert not {unicodedata.category(letter) for letter in found} & {"Cc", "Cf", "Zl", "Zp"}
    assert plain(found) == found


def test_plain_text_leaves_names_as_they_are():
    for name in ("latency_p95_1h", "[18, 30)", "R&D", "a < b", "São Paulo", "50 %", "東京"):
        assert plain(name) == name
    assert plain(None) == "" and plain("x" * 200) == "x" * 99 + "…"
