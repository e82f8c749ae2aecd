"""The notifier against a real HTTP server that fails, stalls and hangs up; killed at any moment."""

import contextlib
import email
import importlib.util
import json
import os
import random
import re
import signal
import smtplib
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import duckdb
import pytest
import requests

import notifier
from notification_ledger import Ledger
from notification_targets import HOW_TO, Target
from tests.python.notifier_database import RAW, alert, at, trigger, write_database

ROOT = Path(__file__).parents[2]
WEBHOOK = ROOT / "docs" / "examples" / "retraining_webhook.py"
SECRET = "s3cr3t-t0k3n"


class Receiver:
    """A webhook. ``answers`` says how the next requests are met; after that all are accepted."""

    def __init__(self):
        receiver = self
        self.answers = []
        self.requests = []
        self.lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                answer = receiver.take(self.path, dict(self.headers), body)
                if answer == "hang up":
                    self.connection.close()
                    return
                if answer == "stall":
                    time.sleep(3)
                status = answer if isinstance(answer, int) else 200
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                pass

            def handle(self):
                # Who is killed, or gives up, leaves broken pipes.
                with contextlib.suppress(OSError):
                    super().handle()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def take(self, path, headers, body):
        with self.lock:
            answer = self.answers.pop(0) if self.answers else "ok"
            self.requests.append((path, headers, body, answer))
            return answer

    def url(self, scheme="json", path="hook", options="rto=1"):
        return f"{scheme}://{SECRET}:{SECRET}@127.0.0.1:{self.server.server_port}/{path}?{options}"

    def accepted(self, path="/hook"):
        """The bodies that were answered with success, or whose answer was lost, by key."""
        found = {}
        for where, headers, body, answer in self.requests:
            if where == path and not isinstance(answer, int):
                assert found.setdefault(headers["Idempotency-Key"], body) == body
        return {key: json.loads(body) for key, body in found.items()}

    def told(self, path="/hook"):
        return [
            (body["event"].get("state", "triggered"), body["event"].get("ordinal", 1))
            for body in self.accepted(path).values()
        ]


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the notifier in this process; returns exit code and what it printed."""
    for name in [name for name in os.environ if name.startswith("ML_MONITORING_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ML_MONITORING_PATH", str(tmp_path / "warehouse.duckdb"))
    monkeypatch.setattr(notifier, "FIRST_WAIT_SECONDS", 0.02)

    def run(*arguments, **targets):
        for channel in ("", "_PAGE", "_TICKET", "_INFO", "_RETRAINING"):
            url = targets.get(channel.strip("_").lower() or "all", "")
            monkeypatch.setenv(f"ML_MONITORING_NOTIFY{channel}", url)
        code = notifier.main(["--give-up-after", "10", "--wait", "1", *arguments])
        printed = "".join(capsys.readouterr())
        assert SECRET not in printed and RAW not in printed
        return code, printed

    yield run
    for path in tmp_path.glob("*_notifications.sqlite*"):
        assert SECRET.encode() not in path.read_bytes()


@pytest.fixture
def build(tmp_path):
    def build(as_of, *alerts, **tables):
        write_database(tmp_path / "warehouse_published.duckdb", as_of, alerts, **tables)

    return build


def resolved(end, **changes):
    return alert(state="resolved", resolved_at=end, **changes)


def test_each_change_of_state_reaches_the_webhook_once(run, build, receiver):
    build(at("01 09:00"), alert(), triggers=[trigger()],
          reports=[{"alert_id": "a1", "summary": "p95 is 430", "likely_cause": "a release"}],
          lines=[alert(slice_key="origin", slice_value="JFK")])  # fmt: skip
    assert run(all=receiver.url()) == (0, "Delivered 2 of 2 notifications\n")
    assert run(all=receiver.url()) == (0, "Delivered 0 of 0 notifications\n")
    build(at("01 11:00"), resolved(at("01 10:30")), triggers=[trigger()])
    assert run(all=receiver.url())[0] == 0
    assert receiver.told() == [("firing", 1), ("triggered", 1), ("resolved", 1)]
    for key, body in receiver.accepted().items():
        assert body["idempotency_key"] == body["event"]["idempotency_key"] == key
        assert body["message"].endswith(f"Key: {key}")
    firing, training, _ = receiver.accepted().values()
    assert firing["title"] == "[PAGE] p95 firing: churn v1 live" and firing["type"] == "failure"
    assert firing["event"]["likely_cause"] == "a release"
    assert [line["slice_value"] for line in firing["event"]["lines"]] == ["JFK"]
    assert training["event"]["event"] == "retraining_trigger"
    assert training["event"]["training_window_end"] == "2024-03-29T00:00:00Z"
    assert RAW not in json.dumps(receiver.requests)


def test_channels(run, build, receiver):
    build(at("01 09:00"), alert(), alert(alert_id="b", alert_name="b", severity="ticket"),
          alert(alert_id="c", alert_name="c", severity="info"), triggers=[trigger()])  # fmt: skip
    code, printed = run(page=receiver.url(path="page"), retraining=receiver.url(path="train"))
    assert code == 0
    assert "Not sent, no target for ticket: 1\nNot sent, no target for info: 1\n" in printed
    run(ticket=receiver.url(path="ticket"), all=f"{receiver.url(path='ticket')}  "
        f"{receiver.url(path='all')}")  # fmt: skip
    paths = sorted(path for path, *_ in receiver.requests)
    assert paths == ["/all", "/all", "/page", "/ticket", "/ticket", "/train"]


@pytest.mark.parametrize("answers", [[500, 503, 429], ["stall"], ["hang up", "hang up"]])
def test_failures_are_tried_again_in_the_same_run(run, build, receiver, answers):
    build(at("01 09:00"), alert())
    receiver.answers = list(answers)
    code, _ = run(all=receiver.url())
    assert code == 0
    assert [answer for *_, answer in receiver.requests] == [*answers, "ok"]
    assert len({headers["Idempotency-Key"] for _, headers, *_ in receiver.requests}) == 1


def test_waits_grow(run, build, receiver, monkeypatch):
    build(at("01 09:00"), alert())
    waits = []
    monkeypatch.setattr(notifier, "FIRST_WAIT_SECONDS", 1.0)
    monkeypatch.setattr(notifier.time, "sleep", waits.append)
    receiver.answers = [500] * 9
    assert run("--give-up-after", "1000", all=receiver.url())[0] == 0
    longest = [min(30, 2**number) for number in range(9)]
    assert all(most / 2 <= wait <= most for wait, most in zip(waits, longest, strict=True))


def test_what_cannot_be_delivered_waits_for_the_next_run(run, build, receiver):
    build(at("01 09:00"), alert(), triggers=[trigger()])
    receiver.answers = [500] * 1000
    code, printed = run("--give-up-after", "0.3", all=receiver.url())
    assert code == 1 and "2 undelivered (HTTP 500)" in printed
    assert "[PAGE] p95 firing: churn v1 live" in printed and "tried again" in printed
    assert len(receiver.requests) > 2
    # It has moved meanwhile: both words come, in order.
    build(at("01 11:00"), resolved(at("01 10:30")), triggers=[trigger()])
    receiver.answers = [500]
    assert run(all=receiver.url()) == (0, "Delivered 3 of 3 notifications\n")
    assert receiver.told() in (
        [("triggered", 1), ("firing", 1), ("resolved", 1)],
        [("firing", 1), ("triggered", 1), ("resolved", 1)],
        [("firing", 1), ("resolved", 1), ("triggered", 1)],
    )


def test_a_dead_target_does_not_hold_up_the_others(run, build, receiver):
    build(at("01 09:00"), *(
        alert(alert_id=name, alert_name=name) for name in ("p50", "p95", "p99")
    ))  # fmt: skip
    slow = Receiver()
    slow.answers = ["stall"] * 1000
    unreachable = f"json://{SECRET}@127.0.0.1:9/hook"
    started = time.monotonic()
    urls = f"{slow.url(options='rto=20')} {unreachable} slack://{SECRET} {receiver.url()}"
    code, printed = run("--give-up-after", "1", all=urls)
    assert code == 1 and time.monotonic() - started < 3
    assert len(receiver.accepted()) == 3
    assert "Delivered 3 of 12" in printed
    assert printed.count("3 undelivered (no answer, or no connection)") == 1
    assert printed.count("3 undelivered (not tried yet)") == 1
    assert printed.count("3 undelivered (apprise cannot read this URL") == 1
    slow.server.shutdown()


def test_what_waits_for_a_target_that_is_gone_goes_to_another(run, build, receiver):
    build(at("01 09:00"), alert(), alert(alert_id="b", alert_name="other"))
    receiver.answers = ["ok", *[500] * 1000]
    code, _ = run("--give-up-after", "0.1", page=receiver.url(path="wrong"))
    assert code == 1 and len(receiver.accepted("/wrong")) == 1
    receiver.answers = []
    code, printed = run(info=receiver.url())
    assert code == 1 and "configured no more; name another target in ML_MONITORING_NOTIFY_PAGE" in (
        printed
    )
    assert run(page=receiver.url(path="right"))[0] == 0
    # Only what had not been delivered.
    assert len(receiver.accepted("/right")) == 1
    assert receiver.accepted("/right").keys() != receiver.accepted("/wrong").keys()


def test_forms_and_xml_have_key_and_event(run, build, receiver):
    build(at("01 09:00"), alert(slice_key="x", slice_value="<b>&"))
    urls = f"{receiver.url('form', 'form')} {receiver.url('xml', 'xml')}"
    assert run(all=urls)[0] == 0
    by_path = {path: (headers, body) for path, headers, body, _ in receiver.requests}
    headers, form = by_path["/form"]
    event = json.loads(parse_qs(form)["event"][0])
    assert event["alert"]["slice_value"] == "<b>&"
    assert headers["Idempotency-Key"] == event["idempotency_key"]
    headers, xml = by_path["/xml"]
    assert f"<idempotency_key>{event['idempotency_key']}</idempotency_key>" in xml
    assert headers["Idempotency-Key"] == event["idempotency_key"]
    assert "<b>" not in xml and "&lt;b&gt;&amp;" in xml


class TestServices:
    """What other services get, taken where it would leave the process."""

    HOSTILE = alert(slice_key="x", slice_value="<!channel> @here *a* [b](http://c)\n# d")

    @pytest.fixture
    def sent(self, monkeypatch):
        sent = []

        class Answer:
            status_code, content, text, headers = 200, b"ok", "ok", {}

        def answer(*_, **options):
            sent.append(json.loads(options["data"]))
            return Answer()

        monkeypatch.setattr(requests.Session, "request", answer)
        return sent

    def test_pagerduty_opens_and_closes_one_incident(self, run, build, sent):
        url = f"pagerduty://{'a' * 32}@{'b' * 20}"
        build(at("01 09:00"), alert())
        assert run(page=url)[0] == 0
        build(at("01 11:00"), resolved(at("01 10:30")))
        assert run(page=url)[0] == 0
        assert [event["event_action"] for event in sent] == ["trigger", "resolve"]
        assert sent[0]["dedup_key"] == sent[1]["dedup_key"]
        assert sent[0]["payload"]["severity"] == "critical"

    def test_an_email_has_the_key_as_a_header(self, run, build, monkeypatch):
        sent = []

        class Server:
            def __init__(self, *_, **__):
                pass

            def sendmail(self, _sender, _receivers, text):
                sent.append(email.message_from_string(text))

            def __getattr__(self, _name):
                return lambda *_, **__: None

        monkeypatch.setattr(smtplib, "SMTP", Server)
        build(at("01 09:00"), self.HOSTILE)
        url = f"mailto://user:{SECRET}@smtp.example.org?from=a@example.org&to=b@example.org"
        assert run(page=url)[0] == 0
        [mail] = sent
        assert mail["Subject"] == "[PAGE] p95 firing: churn v1 live" and mail["To"]
        text = "".join(
            part.get_payload(decode=True).decode()
            for part in mail.walk()
            if not part.is_multipart()
        )
        assert f"Key: {mail['Idempotency-Key']}" in text

    @pytest.mark.parametrize(
        "url",
        [
            f"slack://T1JJ3T3L2/A1BRTD4JD/{'T' * 24}/#alerts",
            f"discord://{'1' * 18}/{'a' * 64}",
            f"mmost://example.org/{'c' * 24}",
        ],
    )
    def test_hostile_names_mention_nobody(self, run, build, sent, url):
        build(at("01 09:00"), self.HOSTILE)
        assert run(page=url)[0] == 0
        text = json.dumps(sent, ensure_ascii=False)
        assert "p95 firing" in text.replace("\\", "")
        for mark in ("<!", "@here", "](", "http://c"):
            assert mark not in text


def test_a_dry_run_prints_and_changes_nothing(run, build, receiver, tmp_path):
    build(at("01 09:00"), alert(), alert(alert_id="b", alert_name="b", is_silenced=True))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code, printed = run("--dry-run", page=receiver.url())
    assert code == 0 and "[PAGE] p95 firing: churn v1 live\n  to: json-" in printed
    assert "Where: all requests" in printed and "silenced or in maintenance: 1" in printed
    assert "no target is configured" in run("--dry-run")[1]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert not receiver.requests
    receiver.answers = [500] * 9
    run("--give-up-after", "0", page=receiver.url())
    code, printed = run("--dry-run", page=receiver.url())
    assert "Waits from an earlier run" in printed and "0 new notifications, 1 that wait" in printed


def test_it_reads_the_database_where_nothing_is_published(run, tmp_path, receiver):
    path = tmp_path / "warehouse.duckdb"
    write_database(path, at("01 09:00"), [alert()])
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "drop table monitor.published_build; create schema monitor_internal;"
            " create table monitor_internal.int_as_of as select timestamp '2024-03-01' as as_of"
        )
    assert run(all=receiver.url())[0] == 0
    assert receiver.told() == [("firing", 1)]
    # A process that writes keeps all others out.
    code = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print(); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as build:
        build.stdout.readline()
        code, printed = run(all=receiver.url())
        build.stdin.close()
    assert code == 2 and "A build is at work" in printed


class TestRefusals:
    """Each says what is wrong and what to do."""

    def test_nothing_is_configured(self, run, build):
        build(at("01 09:00"), alert())
        code, printed = run()
        assert code == 2 and HOW_TO in printed

    def test_nothing_is_built(self, run, tmp_path):
        assert "build first" in run("--dry-run")[1]
        duckdb.connect(str(tmp_path / "warehouse.duckdb")).close()
        code, printed = run("--dry-run")
        assert code == 2 and "has no table alert_board" in printed

    def test_tables_of_another_version(self, run, build, tmp_path):
        build(at("01 09:00"))
        with duckdb.connect(str(tmp_path / "warehouse_published.duckdb")) as connection:
            connection.execute("alter table monitor.alert_board drop column is_silenced")
        code, printed = run("--dry-run")
        assert code == 2 and "build anew" in printed and "is_silenced" in printed

    def test_two_schemas(self, run, build, tmp_path, receiver):
        build(at("01 09:00"), alert())
        with duckdb.connect(str(tmp_path / "warehouse_published.duckdb")) as connection:
            connection.execute("create schema b; create table b.alert_board (x int)")
        code, printed = run(all=receiver.url())
        assert code == 2 and "--schema" in printed
        assert run("--schema", "monitor", all=receiver.url())[0] == 0

    def test_a_ledger_of_another_database(self, run, build, receiver):
        build(at("02 09:00"), alert())
        assert run(all=receiver.url())[0] == 0
        build(at("01 09:00"))
        code, printed = run(all=receiver.url())
        assert code == 2 and "another database" in printed
        assert receiver.told() == [("firing", 1)]

    @pytest.mark.parametrize("content", [b"no ledger at all" * 99, "newer"])
    def test_a_file_that_is_no_ledger(self, run, build, tmp_path, receiver, content):
        build(at("01 09:00"), alert())
        path = tmp_path / "warehouse_notifications.sqlite"
        if content == "newer":
            assert run(all=receiver.url())[0] == 0
            with contextlib.closing(sqlite3.connect(path)) as connection, connection:
                connection.execute("update facts set value = '2' where name = 'format'")
        else:
            path.write_bytes(content)
        code, printed = run(all=receiver.url())
        assert code == 2 and "move" in printed
        assert run("--dry-run")[0] == 2

    def test_another_notifier_at_work(self, run, build, tmp_path, receiver):
        build(at("01 09:00"), alert())
        other = Ledger.open(tmp_path / "warehouse_notifications.sqlite", 0)
        code, printed = run("--wait", "0.2", all=receiver.url())
        assert code == 2 and "Another notifier is at work" in printed
        threading.Timer(0.3, other.__exit__).start()
        assert run("--wait", "10", all=receiver.url())[0] == 0


def test_the_example_starts_a_pipeline_once(run, build, tmp_path):
    spec = importlib.util.spec_from_file_location("webhook", WEBHOOK)
    webhook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(webhook)
    # The first start fails.
    code = (
        "import pathlib, sys; folder = pathlib.Path(sys.argv[1]); found = len([*folder.iterdir()])"
        "; (folder / str(found)).write_text(sys.stdin.read()); sys.exit(found == 0)"
    )
    started = tmp_path / "started"
    started.mkdir()
    server = webhook.make_server(
        0, str(tmp_path / "runs.sqlite"), [sys.executable, "-c", code, str(started)]
    )
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    url = f"json://127.0.0.1:{server.server_port}/"
    build(at("01 09:00"), alert(), triggers=[trigger()])
    assert run(retraining=url, page=url)[0] == 0
    events = [json.loads((started / name).read_text()) for name in ("0", "1")]
    assert events[0] == events[1] and events[0]["trigger_id"] == "t1"
    # A ledger that is lost tells it again, under the same key.
    for path in tmp_path.glob("*_notifications.sqlite*"):
        path.unlink()
    code, printed = run(retraining=url)
    assert code == 0 and "Delivered 1 of 1" in printed
    assert len([*started.iterdir()]) == 2
    server.shutdown()
    server.server_close()


def test_names_of_targets_tell_nothing():
    for url in (f"jsons://{SECRET}@host/{SECRET}", SECRET, f"slack://{SECRET}"):
        target = Target.of(url)
        assert re.fullmatch("(jsons|unknown|slack)-[0-9a-f]{8}", target.name)
        assert SECRET not in repr(target)


def test_killed_at_random_moments_nothing_is_lost_and_keys_are_kept(build, receiver, tmp_path):
    """Alerts that come and go, a webhook that fails, and a notifier that does not live long."""
    names = [f"rule{number}" for number in range(8)]
    start = at("01 00:00")

    def rows(hour):
        for number, name in enumerate(names):
            # Each fires for two hours, is over for one, and two of them vanish at the end.
            fired = start + timedelta(hours=number % 3)
            age = hour - number % 3
            if age < 0 or (hour == 4 and number in (2, 5)):
                continue
            end = fired + timedelta(hours=2)
            yield alert(
                alert_id=f"{name}-{hour // 2}", alert_name=name, started_at=fired, fired_at=fired,
                window_end=min(end, start + timedelta(hours=hour, minutes=30)),
                state="firing" if age < 2 else "resolved", resolved_at=None if age < 2 else end,
            )  # fmt: skip

    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("ML_MONITORING")
    } | {
        "ML_MONITORING_PATH": str(tmp_path / "warehouse.duckdb"),
        "ML_MONITORING_NOTIFY": receiver.url(),
    }
    command = [sys.executable, "python_udfs/notifier.py"]
    chance = random.Random(20)
    kills = 0
    for hour in range(5):
        build(start + timedelta(hours=hour, minutes=30), *rows(hour))
        for _ in range(3):
            receiver.answers = chance.choices(["ok", 500, "hang up", "stall"], [6, 1, 1, 1], k=3)
            with subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as process:  # fmt: skip
                # Before anything is sent, or around the answer to one of the first requests.
                before, count = len(receiver.requests), chance.randrange(4)
                until = time.monotonic() + (chance.uniform(0.05, 0.5) if count == 0 else 20)
                while (
                    process.poll() is None
                    and time.monotonic() < until
                    and (count == 0 or len(receiver.requests) < before + count)
                ):
                    time.sleep(0.001)
                time.sleep(chance.choice([0, 0.003, 0.01]))
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
        receiver.answers = []
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert kills > 5
    expected = {
        name: ["firing", "resolved"] if number not in (2, 5) else ["firing", "retracted"]
        for number, name in enumerate(names)
    }
    told = {}
    for body in receiver.accepted().values():
        event = body["event"]
        assert event["ordinal"] == 1
        told.setdefault(event["alert"]["alert_name"], []).append(event["state"])
    assert told == expected
    assert len(receiver.requests) > len(receiver.accepted())
