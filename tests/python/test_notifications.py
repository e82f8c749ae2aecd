"""Which notifications are due: by example, and in random histories against a plain simulation."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import notifier
from notification_ledger import Ledger
from notification_texts import compose
from notifications import CHANNELS, Memory, plan
from tests.python.notifier_database import alert, at, trigger


class Told:
    """Runs one after the other, each with its tables."""

    def __init__(self):
        self.memory = Memory()
        self.plan = None

    def run(self, as_of, *alerts, triggers=(), channels=CHANNELS):
        """What a run tells: state, ordinal and alert_id of each message."""
        made = self.plan = plan(list(alerts), list(triggers), as_of, self.memory, channels)
        # A run that is killed before it records anything plans the same again.
        again = plan(list(alerts), list(triggers), as_of, self.memory, channels)
        assert again.changes == made.changes
        gone = set(made.gone_triggers)
        self.memory = Memory(
            tuple({known.incident_id: known for known in
                   (*self.memory.incidents, *made.incidents)}.values()),
            tuple(known for known in (*self.memory.triggers, *made.triggers)
                  if known.trigger_id not in gone),
            self.memory.began or as_of,
            as_of,
        )  # fmt: skip
        assert not plan(list(alerts), list(triggers), as_of, self.memory, channels).changes
        return [(change.state, change.ordinal, change.row["alert_id"]) for change in made.changes]

    @property
    def keys(self):
        return [change.key for change in self.plan.changes]


@pytest.fixture
def told():
    return Told()


def resolved(end, **changes):
    return alert(state="resolved", resolved_at=end, window_end=end, **changes)


def test_each_change_of_state_is_told_once(told):
    assert told.run(at("01 09:00"), alert()) == [("firing", 1, "a1")]
    first = told.keys
    assert told.run(at("01 10:00"), alert(worst_value=900.0, window_end=at("01 10:00"))) == []
    assert told.run(at("01 11:00"), resolved(at("01 10:30"))) == [("resolved", 1, "a1")]
    assert told.keys != first
    assert told.run(at("01 12:00"), resolved(at("01 10:30"))) == []


def test_pending_is_not_told(told):
    pending = alert(state="pending", fired_at=None)
    assert told.run(at("01 09:00"), pending) == []
    assert told.run(at("01 10:00"), alert()) == [("firing", 1, "a1")]
    # With late data it had not fired after all.
    assert told.run(at("01 11:00"), pending) == [("retracted", 1, "a1")]


def test_the_first_run_tells_what_fires_and_not_history(told):
    history = [
        resolved(at(f"{day:02} 09:00"), alert_id=f"h{day}", started_at=at(f"{day:02} 08:00"),
                 fired_at=at(f"{day:02} 08:00"))
        for day in range(1, 20)
    ]  # fmt: skip
    now = alert(started_at=at("20 08:00"), fired_at=at("20 08:00"), window_end=at("20 09:00"))
    assert told.run(at("20 09:00"), *history, now) == [("firing", 1, "a1")]
    assert told.plan.passed_over == {"over already": 19}
    assert told.run(at("20 10:00"), *history, now) == []


def test_what_fired_and_was_resolved_between_two_runs_is_one_message(told):
    told.run(at("01 07:00"))
    assert told.run(at("01 12:00"), resolved(at("01 10:00"))) == [("resolved", 1, "a1")]
    assert told.plan.changes[0].is_first


def test_what_was_over_long_before_the_last_run_is_recorded_only(told):
    told.run(at("01 07:00"))
    told.run(at("05 07:00"))
    assert told.run(at("05 08:00"), resolved(at("01 10:00"))) == []
    yesterday = {"started_at": at("04 08:00"), "fired_at": at("04 08:00"), "alert_id": "late"}
    assert told.run(at("05 09:00"), resolved(at("04 10:00"), **yesterday)) == [
        ("resolved", 1, "late")
    ]


def test_an_alert_that_moves_in_time_is_the_same(told):
    told.run(at("01 09:00"), alert())
    moved = {"alert_id": "a2", "started_at": at("01 07:10"), "fired_at": at("01 07:40")}
    assert told.run(at("01 10:00"), alert(**moved)) == []
    assert told.run(at("01 11:00"), resolved(at("01 10:30"), **moved)) == [("resolved", 1, "a2")]
    assert told.run(at("01 12:00"), resolved(at("01 10:10"), alert_id="a3")) == []


def test_one_that_fires_lasts_as_long_as_it_was_seen(told):
    later = {"alert_id": "a2", "started_at": at("01 10:00"), "fired_at": at("01 10:30")}
    told.run(at("01 09:00"), alert())
    told.run(at("01 12:00"), alert())
    # Nothing could be judged of it lately: its newest window is no sign of its end.
    assert told.run(at("01 13:00"), alert(**later, window_end=None)) == []


@pytest.mark.parametrize("column", ["kind", "alert_name", "model_name", "model_version", "role"])
def test_another_alert_at_the_same_time_is_another(told, column):
    told.run(at("01 09:00"), alert())
    other = alert(alert_id="b1", **{column: "other"})
    assert told.run(at("01 09:00"), alert(), other) == [("firing", 1, "b1")]


def test_one_that_begins_after_it_is_another(told):
    told.run(at("01 09:00"), alert())
    later = {"alert_id": "b1", "started_at": at("01 11:00"), "fired_at": at("01 11:30")}
    found = told.run(at("01 12:00"), resolved(at("01 10:00")), alert(**later))
    assert found == [("resolved", 1, "a1"), ("firing", 1, "b1")]


def test_one_that_is_gone_is_retracted_and_may_come_back(told):
    told.run(at("01 09:00"), alert())
    assert told.run(at("01 10:00")) == [("retracted", 1, "a1")]
    assert told.run(at("01 11:00")) == []
    assert told.run(at("01 12:00"), alert()) == [("firing", 2, "a1")]
    again = told.keys
    assert told.run(at("01 13:00")) == [("retracted", 2, "a1")]
    assert told.keys != again


def test_one_that_opens_again_is_told_again(told):
    told.run(at("01 09:00"), alert())
    told.run(at("01 11:00"), resolved(at("01 10:30")))
    assert told.run(at("01 12:00"), alert(window_end=at("01 12:00"))) == [("firing", 2, "a1")]


def test_one_that_turns_out_to_be_two_goes_on(told):
    told.run(at("01 12:00"), alert(window_end=at("01 12:00")))
    parts = [
        resolved(at("01 09:00")),
        alert(alert_id="a2", started_at=at("01 10:00"), fired_at=at("01 10:30"),
              window_end=at("01 12:00")),
    ]  # fmt: skip
    assert told.run(at("01 13:00"), *parts) == []
    parts[1] |= {"window_end": at("01 14:00")}
    assert told.run(at("01 14:00"), *parts) == []
    parts[1] |= {"state": "resolved", "resolved_at": at("01 14:30")}
    assert told.run(at("01 15:00"), *parts) == [("resolved", 1, "a2")]


def test_two_that_turn_out_to_be_one_are_one(told):
    told.run(at("01 09:00"), alert())
    second = {"alert_id": "b1", "started_at": at("01 10:00"), "fired_at": at("01 10:30")}
    told.run(at("01 11:00"), resolved(at("01 09:30")), alert(**second, window_end=at("01 11:00")))
    whole = alert(window_end=at("01 12:00"))
    assert told.run(at("01 12:00"), whole) == []
    assert told.run(at("01 13:00"), resolved(at("01 12:30"))) == [("resolved", 1, "a1")]


@pytest.mark.parametrize("why", ["is_silenced", "is_in_maintenance"])
def test_silence(told, why):
    muted = {why: True}
    assert told.run(at("01 09:00"), alert(**muted)) == []
    assert told.run(at("01 10:00"), alert()) == [("firing", 1, "a1")]
    # It is known that it fires: its end is told, whatever is silent.
    assert told.run(at("01 11:00"), resolved(at("01 10:30"), **muted)) == [("resolved", 1, "a1")]


def test_what_fires_and_ends_in_silence_is_not_told(told):
    told.run(at("01 07:00"))
    told.run(at("01 09:00"), alert(is_silenced=True))
    assert told.run(at("01 11:00"), resolved(at("01 10:30"))) == []


def test_without_a_target_it_is_told_once_there_is_one(told):
    assert told.run(at("01 09:00"), alert(), channels=["ticket"]) == []
    assert told.plan.passed_over == {"no target for page": 1}
    assert told.run(at("01 10:00"), alert()) == [("firing", 1, "a1")]
    assert told.run(at("01 11:00"), resolved(at("01 10:30")), channels=["ticket"]) == []
    assert told.run(at("01 12:00"), resolved(at("01 10:30"))) == [("resolved", 1, "a1")]


def test_another_severity_is_told_to_others(told):
    told.run(at("01 09:00"), alert(severity="ticket"))
    assert sorted(told.run(at("01 10:00"), alert())) == [
        ("firing", 1, "a1"), ("retracted", 1, "a1"),
    ]  # fmt: skip
    assert {change.channel for change in told.plan.changes} == {"page", "ticket"}
    assert len(set(told.keys)) == 2


def test_a_trigger_is_told_once_wherever_its_alert_moves(told):
    told.run(at("01 07:00"), triggers=[trigger(trigger_id="old", alert_id="old")])
    assert told.plan.passed_over == {"triggered long ago": 1}
    assert [state for state, *_ in told.run(at("01 09:00"), alert(), triggers=[trigger()])] == [
        "firing", "triggered",
    ]  # fmt: skip
    assert told.run(at("01 10:00"), alert(), triggers=[trigger()]) == []
    moved = {"alert_id": "a2", "started_at": at("01 08:10")}
    again = trigger(trigger_id="t2", alert_id="a2")
    assert told.run(at("01 10:00"), alert(**moved), triggers=[again]) == []
    # A second trigger of the same alert, beside the first, is another.
    more = [again, trigger(trigger_id="t3", alert_id="a2", triggered_at=at("01 10:00"))]
    assert told.run(at("01 11:00"), alert(**moved), triggers=more) == [("triggered", 1, "a2")]
    # And none is taken back.
    assert told.run(at("01 12:00"), alert(**moved)) == []


def test_a_trigger_waits_for_a_target(told):
    rows = {"triggers": [trigger()]}
    assert told.run(at("01 09:00"), alert(), **rows, channels=["page"]) == [("firing", 1, "a1")]
    assert told.run(at("01 10:00"), alert(), **rows) == [("triggered", 1, "a1")]


# Random histories ------------------------------------------------------------------------------
#
# The simulation knows which alert is which, since it makes them: each lives in an epoch of its own,
# and moves only inside of it. So it needs no matching, and what should be told is a table of cases.

GROUPS = [("p95", "v1"), ("p95", "v2")]
EPOCH = timedelta(minutes=1000)
BEGIN = at("01 00:00")
ANSWERS = ["ok", "refused", "lost answer", "killed before", "killed after"]
EVENTS = [
    *(("fire", group, 20) for group in GROUPS),
    *((event, group, minute) for event in ("move", "resolve") for group in GROUPS
      for minute in (0, 35)),
    *((event, group) for event in ("pend", "silence", "maintain") for group in GROUPS),
    *((event, group) for event in ("open", "vanish", "return") for group in GROUPS * 2),
    ("epoch", "resolve"), ("epoch", "vanish"), ("killed before anything is recorded",),
]  # fmt: skip
# Between two runs something happens, or nothing.
runs = st.tuples(
    st.lists(st.sampled_from(EVENTS), max_size=3), st.lists(st.sampled_from(ANSWERS), max_size=4)
)


class Killed(BaseException):
    """The process is gone."""


class Receiver:
    """Takes part in delivery as a target does; honours keys."""

    name = "json-receiver"

    def __init__(self):
        self.answers = []
        self.seen = {}

    def send(self, message):
        answer = self.answers.pop(0) if self.answers else "ok"
        if answer == "refused":
            return "HTTP 503"
        if answer == "killed before":
            raise Killed
        # The same key means the same words.
        assert self.seen.setdefault(message.key, message) == message
        if answer == "killed after":
            raise Killed
        return "no answer" if answer == "lost answer" else None


class World:
    """What is true, what should have been told of it, and a notifier that runs now and then."""

    def __init__(self):
        self.receiver = Receiver()
        self.ledger = Ledger.read(Path("/there/is/no/such.sqlite"))
        self.epoch, self.steps = 0, 0
        self.alerts = {}  # by group and epoch
        self.muted = dict.fromkeys(GROUPS, "")
        self.told, self.expected, self.ordinals = {}, {}, {}
        self.began = self.last = None

    @property
    def now(self):
        return BEGIN + self.epoch * EPOCH + timedelta(minutes=500 + self.steps)

    def minute(self, number):
        return BEGIN + self.epoch * EPOCH + timedelta(minutes=number)

    def act(self, action, *values):
        self.steps += 1
        key = (values[0], self.epoch) if values else None
        found = self.alerts.get(key)
        if action == "fire" and not found:
            self.alerts[key] = {
                "state": "firing", "start": self.minute(values[1]), "end": None, "there": True
            }  # fmt: skip
        elif action == "move" and found:
            found["start"] = self.minute(values[1])
        elif action == "resolve" and found:
            found |= {"state": "resolved", "end": self.minute(60 + values[1])}
        elif action == "pend" and found:
            found |= {"state": "pending", "end": None}
        elif action == "open" and found:
            found |= {"state": "firing", "end": None}
        elif action in ("vanish", "return") and found:
            found["there"] = action == "return"
        elif action in ("silence", "maintain"):
            self.muted[values[0]] = "" if self.muted[values[0]] else action
        elif action == "epoch" and self.alerts:
            for (_, epoch), one in self.alerts.items():
                if epoch == self.epoch and one["state"] != "resolved":
                    one |= {"state": "resolved", "end": self.now}
                    one["there"] &= values[0] == "resolve"
            self.epoch, self.steps = self.epoch + 1, 0
        elif action.startswith("killed"):
            self.prepare()

    def rows(self):
        return [
            alert(
                alert_id=f"{group} {one['start']}", alert_name=group[0], model_version=group[1],
                state=one["state"], started_at=one["start"], resolved_at=one["end"],
                fired_at=None if one["state"] == "pending" else one["start"],
                window_end=one["end"] or self.now, is_silenced=self.muted[group] == "silence",
                is_in_maintenance=self.muted[group] == "maintain",
            )
            for (group, _), one in self.alerts.items() if one["there"]
        ]  # fmt: skip

    def prepare(self):
        made = plan(self.rows(), [], self.now, self.ledger.memory())
        return made, [compose(change, {}) for change in made.changes]

    def run(self, answers):
        """A run of the notifier, which is killed where the answers say so."""
        self.ledger.record(*self.prepare(), self.now, {"page": [self.receiver.name]})
        self.expect()
        self.receiver.answers = list(answers)
        try:
            notifier.serve(self.ledger, self.receiver, self.ledger.waiting(), float("inf"))
        except Killed:
            return
        assert not self.ledger.waiting()

    def expect(self):
        """Say what should be told now, case by case."""
        for key, one in self.alerts.items():
            state = one["state"] if one["there"] and one["state"] != "pending" else "none"
            before, is_muted = self.told.get(key), bool(self.muted[key[0]])
            word = None
            if before == "firing" and state != "firing":
                word = "resolved" if state == "resolved" else "retracted"
            elif state == "firing" and before != "firing":
                word = None if is_muted else "firing"
            elif state == "resolved" and before == "retracted":
                word = None if is_muted else "resolved"
            elif state == "resolved" and before is None and self.began and not is_muted:
                is_new = one["end"] > self.began and one["end"] > self.last - timedelta(days=1)
                word = "resolved" if is_new else None
            if word == "firing" or (word == "resolved" and before != "firing"):
                self.ordinals[key] = self.ordinals.get(key, 0) + 1
            if word:
                said = self.expected.setdefault(key, [])
                said.append((word, self.ordinals[key]))
            if word or (state != "none" and before is None):
                self.told[key] = word or "nothing"
        self.began, self.last = self.began or self.now, self.now


@settings(max_examples=300)
@given(st.lists(runs, min_size=10, max_size=30))
def test_a_receiver_that_honours_keys_sees_each_change_once(history):
    world = World()
    world.act("fire", GROUPS[0], 20)
    for events, replies in history:
        for event in events:
            world.act(*event)
        world.run(replies)
    world.run([])
    heard = {}
    for message in world.receiver.seen.values():
        said = heard.setdefault(message.subject, [])
        said.append((message.event["state"], message.event["ordinal"]))
    assert sorted(heard.values()) == sorted(world.expected.values())
    firing = [key for key, one in world.alerts.items() if one["there"] and one["state"] == "firing"]
    last = [said[-1][0] for said in heard.values()]
    unheard = [key for key in firing if world.told[key] != "firing"]
    assert last.count("firing") == len(firing) - len(unheard)
    assert all(world.muted[group] for group, _ in unheard)


@pytest.fixture(autouse=True, scope="module")
def no_waiting():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notifier, "FIRST_WAIT_SECONDS", 0)
        yield
