"""SLOs as failing tests: each shipped target is breached once, and nothing else suffers."""

import random
from datetime import datetime, timedelta

import duckdb
import pytest
import yaml

from tests.documents import INDEX, QUESTIONS, RUNBOOKS, TEMPLATE, queries
from tests.integration.warehouse import PROJECT, Warehouse, event

AS_OF = datetime(2013, 4, 10, 12)
START = datetime(2013, 2, 15)
# Where the windows of 30 days and of 7 days begin that the targets judge.
MONTH = datetime(2013, 3, 9)
WEEK = datetime(2013, 4, 3)
TARGETS = {
    "latency_p95_1h",
    "latency_p95_6h_origin",
    "error_rate_6h",
    "reject_rate_1d",
    "label_coverage_1d",
    "throughput_1h",
    "silence",
    "auc_30d",
    "ece_30d",
    "wind_speed_drift_7d",
    "temperature_jump_7d_origin",
    "score_drift_7d",
    "fairness_origin_30d",
    "availability_28d",
    "fast_28d",
    "accuracy_28d",
}


def flights(**faults):
    """Eight healthy weeks of the demo's model, and from some moment on the faults asked for."""
    rng = random.Random(2013)
    events, labels = [], []
    for number in range(int((AS_OF - START) / timedelta(hours=1))):
        hour = START + timedelta(hours=number)
        age = (AS_OF - hour) / timedelta(hours=1)
        if faults.get("silent") and age <= 1:
            continue
        # Busy hours now and at the same time a week ago, else a trickle that fills the month.
        count = 80 if age <= 6 or 168 < age <= 175 else 15 if hour >= MONTH else 6
        if faults.get("fewer") and age <= 1:
            count = 30
        for place in range(count):
            request_id = f"{number}-{place}"
            is_error = faults.get("errors") and age <= 6 and place % 20 == 0
            origin = ("JFK", "EWR")[place % 2]
            probability, luck = rng.uniform(0.05, 0.95), rng.random()
            wind_speed, temperature = rng.randint(5, 15), rng.gauss(50, 5)
            score = probability
            if faults.get("unfair") and hour >= MONTH and origin == "JFK":
                score *= 0.5
            if hour >= WEEK:
                score *= 0.1 if faults.get("timid") else 1
                wind_speed = 12 if faults.get("stuck") else wind_speed
                temperature = (temperature - 32) / 1.8 if faults.get("celsius") else temperature
            events.append(
                {
                    "request_id": request_id,
                    "ts": (hour + timedelta(seconds=20 * place)).isoformat() + "Z",
                    "model": "flight_delay",
                    "model_version": "v1",
                    "status": 503 if is_error else 200,
                    "latency_ms": 900.0 if faults.get("slow") and age <= 3 else 50.0 + place % 30,
                    "score": None if is_error else score,
                    "features": {
                        "carrier": "UA",
                        "origin": origin,
                        "wind_speed_mph": wind_speed,
                        "temperature_f": temperature,
                    },
                }
            )
            # Labels of one whole day that are still to come when its grace is over; or of all
            # days since the feed died.
            is_unlabelled = (
                faults.get("unlabelled") and hour.date().isoformat() == "2013-04-07"
            ) or (faults.get("dead_feed") and hour >= datetime(2013, 3, 20))
            if not is_unlabelled:
                is_unlike = faults.get("unlike") and hour >= MONTH
                labels.append(
                    {
                        "request_id": request_id,
                        "label": int(luck < (0.5 if is_unlike else probability)),
                        "labeled_at": (hour + timedelta(hours=3)).isoformat() + "Z",
                    }
                )
    lines = list(events)
    if faults.get("rejected"):
        broken = [e | {"status": "OK"} for e in events if e["ts"].startswith("2013-04-09")]
        lines += broken[:20]
    return lines, labels


def as_shipped():
    """Give the vars of the project as it is cloned, its seeds included."""
    names = ("slo_targets_relation", "alert_rules_relation", "deployments_relation")
    project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
    return dict.fromkeys(names) | {
        name: project[name] for name in ("monitored_models", "performance_windows_days")
    }


def built(folder, is_published=False, **faults):
    warehouse = Warehouse(folder, as_shipped() | {"publish": is_published})
    events, labels = flights(**faults)
    warehouse.write("inference_events/events.jsonl.gz", events)
    warehouse.write("labels/labels.jsonl.gz", labels)
    return warehouse, warehouse.build(as_of=AS_OF.isoformat() + "Z")


def report(warehouse):
    """Give the open breaches as (slo_name, slice_value): (feature, summary, likely_cause)."""
    rows = warehouse.query(
        "select slo_name, slice_value, feature, summary, likely_cause from ml_monitoring.slo_report"
    )
    return {tuple(row[:2]): row[2:] for row in rows}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    return built(tmp_path_factory.mktemp("healthy"))


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    return built(
        tmp_path_factory.mktemp("broken"), is_published=True,
        slow=True, errors=True, rejected=True, unlabelled=True, fewer=True, unlike=True,
        stuck=True, celsius=True, timid=True, unfair=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def dead_feed(tmp_path_factory):
    return built(tmp_path_factory.mktemp("dead_feed"), fewer=True, dead_feed=True)


def test_healthy_service_meets_every_target(healthy):
    warehouse, build = healthy
    assert build.exit_code == 0, build.end
    assert "every objective is met" in build.output
    status = warehouse.query(
        "select slo_name, bool_or(is_breached), bool_and(data_status = 'ok')"
        " from ml_monitoring.slo_status group by all"
    )
    assert set(status) == {(name, False, True) for name in TARGETS}


def test_each_target_finds_its_fault(broken):
    warehouse, build = broken
    assert build.exit_code == 1
    found = {name for (name,) in warehouse.query("select slo_name from ml_monitoring.slo_report")}
    # A few hours use up no budget of 28 days, but they burn it.
    assert found & TARGETS == TARGETS - {"silence", "availability_28d", "fast_28d"}
    assert found - TARGETS == {
        "latency_p95_10m", "auc_falls", "ece_doubled", "label_coverage_falls", "inputs_drift",
        "fast_28d_burn_1h", "fast_28d_burn_6h", "availability_28d_burn_6h",
    }  # fmt: skip


def test_causes_of_drift_and_decay_are_found(broken):
    """The value that is stuck, the unit that changed, the groups that are far apart."""
    found = report(broken[0])
    feature, summary, cause = found["wind_speed_drift_7d", "all"]
    assert feature == "wind_speed_mph" and "psi of wind_speed_mph over 7d is 12." in summary
    assert cause.startswith("100 % of the values are 12.0, in the baseline 9 %")
    # Fifty degrees Fahrenheit are ten degrees Celsius.
    # Both airports are one alert with two lines, and the worse one stands for it.
    lines = broken[0].query(
        "select slice_value, feature from ml_monitoring.alert_lines"
        " where alert_name = 'temperature_jump_7d_origin' and state = 'firing'"
        " order by worst_value"
    )
    assert sorted(lines) == [("EWR", "temperature_f"), ("JFK", "temperature_f")]
    worst, _ = lines[-1]
    feature, summary, cause = found["temperature_jump_7d_origin", worst]
    assert feature == "temperature_f" and f"origin = {worst}: " in summary
    assert summary.endswith("; another line fires, too")
    assert cause.startswith("100 % of the values are at most ")
    assert cause.endswith(", in the window before 10 %")
    feature, _, cause = found["score_drift_7d", "all"]
    assert feature == "score" and cause.startswith("100 % of the values are at most 0.")
    _, _, cause = found["fairness_origin_30d", "all"]
    assert "origin = JFK has the lowest rate and EWR the highest; the gap is at least 0." in cause
    # What moved in the last week of the month is named where the model got worse.
    moved = "inputs that moved most against the week before: "
    for name in ("auc_30d", "ece_30d"):
        feature, _, cause = found[name, "all"]
        assert feature is None
        before, _, inputs = cause.partition(moved)
        if name == "ece_30d":
            assert before.startswith("scores say 30.8 % on average, labels say 50.")
        else:
            assert before == ""
        assert {"wind_speed_mph", "temperature_f", "score"} == {
            part.split(" (")[0] for part in inputs.split(", ")
        }


def test_silence_breaks_the_build(tmp_path):
    warehouse, build = built(tmp_path, silent=True)
    assert build.exit_code == 1
    found = {name for (name,) in warehouse.query("select slo_name from ml_monitoring.slo_report")}
    assert found == {"silence", "throughput_1h"}
    assert "docs/runbooks/silence.md" in build.output


def test_report_is_printed_with_runbook_and_cause(broken):
    _, build = broken
    for part in ("PAGE  latency_p95_1h", "docs/runbooks/latency.md", "TICKET  throughput_1h",
                 "docs/runbooks/error_rate.md", "should be <= 250", "2013-04-10"):  # fmt: skip
        assert part in build.output, part
    causes = dict(
        broken[0].query(
            "select slo_name, likely_cause from ml_monitoring.slo_report where slice_key = 'all'"
        )
    )
    assert "invalid_status" in causes["reject_rate_1d"]
    assert "no slice stands out" in causes["latency_p95_1h"]


def test_broken_slo_leaves_every_public_table_built(broken):
    warehouse, _ = broken
    public = {path.stem for path in (PROJECT / "models" / "marts").rglob("*.sql")}
    found = {
        name
        for (name,) in warehouse.query(
            "select table_name from information_schema.tables where table_schema = 'ml_monitoring'"
        )
    }
    assert found == public
    newest = warehouse.query("select max(window_end) from ml_monitoring.service_levels")
    assert newest == [(AS_OF,)]


def test_ticket_only_warns(dead_feed):
    warehouse, build = dead_feed
    found = warehouse.query("select distinct severity from ml_monitoring.slo_report")
    assert found == [("ticket",)]
    assert build.exit_code == 0, build.end
    assert "TICKET  label_coverage_1d" in build.output


def test_dead_label_feed_is_no_healthy_model(dead_feed):
    """What labels would tell is unknown: a target that must not miss it says so, others wait."""
    warehouse, _ = dead_feed
    found = report(warehouse)
    assert {name for name, _ in found} == {
        "auc_30d", "label_coverage_1d", "label_coverage_falls", "throughput_1h",
    }  # fmt: skip
    _, summary, cause = found["auc_30d", "all"]
    assert "roc_auc over 30d could not be judged" in summary
    # Never judged since the version went live, which is named too.
    assert cause.endswith("; the newest label known is of 2013-03-20 02:00 UTC")
    status = warehouse.query(
        "select slo_name, is_breached, data_status from ml_monitoring.slo_status"
        " where data_status <> 'ok' order by all"
    )
    assert status == [
        ("accuracy_28d", False, "no_data"),
        ("auc_30d", True, "no_data"),
        ("ece_30d", False, "no_data"),
        ("fairness_origin_30d", False, "no_data"),
    ]


def test_every_target_is_tried():
    with duckdb.connect() as connection:
        targets = connection.sql(
            f"select slo_name from read_csv('{PROJECT}/seeds/slo_targets.csv')"
        ).fetchall()
    assert {name for (name,) in targets} == TARGETS


@pytest.mark.parametrize("page", [*RUNBOOKS, INDEX, TEMPLATE], ids=lambda page: page.stem)
def test_queries_of_documents_run(broken, page):
    warehouse, _ = broken
    found = queries(page.read_text())
    assert found
    for query in found:
        warehouse.query(query)


def test_queries_for_bi_tools_run_where_these_read(broken):
    """On the published file, which has the public tables and `published_build` alone."""
    warehouse, _ = broken
    with duckdb.connect(str(warehouse.published), read_only=True) as connection:
        for query in queries(QUESTIONS.read_text()):
            connection.execute(query)


def test_first_query_of_a_runbook_shows_its_alerts(broken):
    """Whoever is sent to a page finds there what they were sent for."""
    warehouse, _ = broken
    alerts = warehouse.query("select distinct runbook, alert_name from ml_monitoring.alerts")
    assert len({runbook for runbook, _ in alerts}) >= 8
    for runbook, alert in alerts:
        shown = warehouse.query(queries((PROJECT / runbook).read_text())[0])
        assert alert in {row[0] for row in shown}, (runbook, alert)


def test_runbook_of_drift_shows_every_line_that_fires(broken):
    """Not only the worst line, which the report names."""
    warehouse, _ = broken
    lines = warehouse.query(
        "select distinct slice_value, feature from ml_monitoring.alert_lines"
        " where state = 'firing' and feature is not null"
    )
    assert {("EWR", "temperature_f"), ("JFK", "temperature_f")} < set(lines)
    (cells,) = [
        warehouse.query(query)
        for query in queries((PROJECT / "docs" / "runbooks" / "drift.md").read_text())
        if "from ml_monitoring.feature_distributions" in query
    ]
    assert {(row[3], row[4]) for row in cells} == set(lines)


def test_future_event_is_held_and_changes_nothing(healthy):
    warehouse, _ = healthy
    tables = ["service_levels", "service_levels_minute", "label_coverage", "feature_drift",
              "model_performance", "slo_status"]  # fmt: skip
    before = [warehouse.query(f"from ml_monitoring.{name} order by all") for name in tables]
    warehouse.write(
        "inference_events/future.jsonl",
        [flights()[0][0] | {"request_id": "late", "ts": "2099-01-01T00:00:00Z"}],
    )
    build = warehouse.build(as_of=AS_OF.isoformat() + "Z")
    assert build.exit_code == 0, build.end
    after = [warehouse.query(f"from ml_monitoring.{name} order by all") for name in tables]
    assert after == before
    held = warehouse.query(
        "select file_path, held_count from ml_monitoring.ingestion_reconciliation"
        " where held_count > 0 and input = 'inference_events'"
    )
    assert held == [("inference_events/future.jsonl", 1)]


def test_impossible_score_leaves_the_request_counted(tmp_path):
    warehouse = Warehouse(tmp_path)
    warehouse.write("inference_events/a.jsonl", [event("a", score=1.2), event("b")])
    assert warehouse.build("--exclude", "path:tests/slo").exit_code == 0
    counted = warehouse.query(
        "select request_count, error_count from ml_monitoring.service_levels"
        " where window_size = '1d' and slice_key = 'all'"
    )
    assert counted == [(2, 0)]
    issues = warehouse.query("select request_id, field, issue from ml_monitoring.field_issues")
    assert issues == [("a", "score", "out_of_range")]


def test_empty_project_builds_and_says_what_to_do(tmp_path):
    """And as nothing is left out, dbt's unit tests run too: before there are tables, and after."""
    warehouse = Warehouse(tmp_path, as_shipped())
    for _ in range(2):
        build = warehouse.dbt("build")
        assert build.exit_code == 0, build.end
        assert "make demo" in build.output
        assert "unit_test" in build.output
    assert warehouse.query("select count(*) from ml_monitoring.monitoring_metrics") == [(0,)]
