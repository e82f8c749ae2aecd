"""Names from outside break out of nothing: SQL, Jinja, Python, a terminal, a shell, HTML.

One project with hostile names in every place that takes a name, built once; and what is refused.
"""

import json
import os
import random
import re
import subprocess
import sys
from datetime import datetime, timedelta
from html.parser import HTMLParser

import duckdb
import pytest

from tests.integration.test_configuration import changed, feature, run_operation  # noqa: F401
from tests.integration.warehouse import (
    DEPLOYMENT,
    MARGIN,
    PROJECT,
    RULE,
    TARGET,
    Warehouse,
    event,
    label,
)

BREAKS_HTML = "\"'></script><hacked onload=x>"
#: Each drops the table `own.canary`, makes a file `hit`, or an element `hacked`, if it is taken
#: for more than text.
HARMFUL = [
    "'; drop table own.canary; --",
    "' || (select 1/0) || '",
    "`; drop table own.canary; --",
    "{{ run_query('drop table own.canary') }}",
    "{% do run_query('drop table own.canary') %}",
    "{{ 1 }} {# {% raw %}",
    "'); open('hit', 'w'); ('",
    "$(touch hit)",
    "`touch hit`",
    "; touch hit &",
    "<script>hacked()</script>",
    "</script><hacked onload=x>",
    "../../hit",
    "/* --",
    "$1 ? %s %(x)s ${HOME} :x",
    "line\u2028separator\u2029",
    "\u202eright to left\u202c \u200b\ufeff",
    "*",
    "[/bold] [link=x]",
]
#: What a name in the configuration may not hold.
UNSPEAKABLE = [
    '"; drop table own.canary; --',
    BREAKS_HTML,
    "back\\slash\\' \\x27",
    "new\nline\r\n::error::hit",
    "nul\0nul",
    "\x1b[2Jcleared",
    "x" * 10_000,
]
HOSTILE = [*HARMFUL, *UNSPEAKABLE]
MODEL_NAME = (
    "' || \"</script><hacked x=1>\" {{ run_query('drop table own.canary') }} \\ $(touch hit)"
)
VERSION = " ".join(text for text in HOSTILE if len(text) < 1000)
SLICES = HARMFUL[:6]
ATTRIBUTE = "'; drop table own.canary; -- {{ 1 }} <hacked>"
#: What an expression takes: without semicolons and comments.
EXTRA = "' {{ 1 }} {% do x %} <hacked> $(touch hit)"
MODEL = {
    "name": MODEL_NAME,
    "task": "binary_classification",
    "baseline": {"start": "2024-03-01", "end": "2024-03-04"},
    "features": [
        *(feature(name, "categorical") for name in HARMFUL),
        feature("' + number", "numerical"),
    ],
    "slices": [*SLICES, ATTRIBUTE],
    "protected_attributes": [HARMFUL[0], ATTRIBUTE],
    "protected_intersections": [[HARMFUL[0], ATTRIBUTE]],
}
#: Stands for what only those may see who may see the logs.
RAW = "raw-canary-71"
DAYS, EACH_DAY, RELEASE = 7, 100, 4


def hostile_traffic():
    """Events and labels; a hostile value in each field, and errors on the last day."""
    rng = random.Random(5)
    events, labels = [], []
    for number in range(DAYS * EACH_DAY):
        day, place = divmod(number, EACH_DAY)
        ts = datetime(2024, 3, 1) + timedelta(days=day, minutes=place * 1440 // EACH_DAY)
        text = HOSTILE[number % len(HOSTILE)]
        score = rng.random()
        request_id = f"{number} {text}"
        common = {
            "ts": f"{ts.isoformat()}Z",
            "model": MODEL_NAME,
            "features": {name: rng.choice(HOSTILE) for name in HARMFUL}
            # Few values each, all of them together: rare categories have no cell of their own.
            | {name: rng.choice(HOSTILE[first::6]) for first, name in enumerate(SLICES)}
            | {"' + number": rng.gauss(0, 1), "undeclared": RAW},
            "attributes": {ATTRIBUTE: text, EXTRA: text, "undeclared": RAW},
            "trace_id": RAW,
            "upstream": {text: {"status": 200, "latency_ms": 5, "of": RAW}},
            "preprocessing": {text: day == DAYS - 1},
            "score": score,
        }
        status = 500 if day == DAYS - 1 and place % 2 else 200
        version = VERSION if day >= RELEASE else "v1"
        events.append(event(request_id, model_version=version, status=status, **common))
        if day < RELEASE:
            events.append(event(request_id, model_version=VERSION, role="shadow", **common))
        labels.append(
            label(request_id, label=int(rng.random() < score), labeled_at=f"{ts.isoformat()}Z")
        )
    # What no field may be, and names of models and versions that nobody has declared.
    for text in HOSTILE:
        events += [event(f"m {text}", ts="2024-03-02T00:00:00Z", model=text, model_version=text),
                   event(f"r {text}", model=MODEL_NAME, role=text),
                   event(f"t {text}", model=MODEL_NAME, ts=text),
                   f"{text} {RAW}".replace("\n", " ")]  # fmt: skip
    return events, labels


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = (
        tmp_path_factory.mktemp("hostile") / "a'; drop table own.canary; -- $(touch hit) <hacked>"
    )
    folder.mkdir()
    warehouse = Warehouse(folder, {
        "monitored_models": [MODEL],
        "as_of": "2024-03-08",
        "min_samples": 20,
        "drift_windows_days": [1],
        "performance_windows_days": [1],
        "custom_metrics": [{
            "name": "harmless", "attributes": [EXTRA], "slices": [SLICES[0]],
            "expression": f"count(*) filter (where attributes.\"{EXTRA}\" = '{EXTRA[2:9]}')",
        }],
        "alert_acknowledgements_relation": "own.acknowledgements",
        "alert_silences_relation": "own.silences",
        "maintenance_windows_relation": "own.maintenance; x",
        "publish": True,
    })  # fmt: skip
    warehouse.execute("create table own.canary as select 42 as alive")
    warehouse.own("slo_targets", TARGET, [
        {"slo_name": text, "model_name": MODEL_NAME, "runbook": text, "comment": text,
         "severity": "ticket", "max_age_hours": "48", "slice_key": slice_key}
        for text, slice_key in zip(HOSTILE, [*SLICES, *["all"] * len(HOSTILE)], strict=False)
    ])  # fmt: skip
    warehouse.own("alert_rules", RULE, [
        {"alert_name": f"{text}!", "model_name": MODEL_NAME, "runbook": text, "owner": text,
         "comment": text, "severity": "ticket"}
        for text in HOSTILE
    ])  # fmt: skip
    warehouse.own("deployments", DEPLOYMENT, [
        {"model": MODEL_NAME, "from": "2024-03-01", "to": "2024-03-05"},
        {"model": MODEL_NAME, "version": VERSION, "role": "shadow", "from": "2024-03-01",
         "to": "2024-03-05"},
        {"model": MODEL_NAME, "version": VERSION, "from": "2024-03-05"},
    ])  # fmt: skip
    warehouse.own("launch_margins", MARGIN, [{"model_name": MODEL_NAME, "comment": HOSTILE[0]}])
    acknowledgement = {"alert_id": "", "acknowledged_at": "2024-03-07", "acknowledged_by": "",
                       "comment": ""}  # fmt: skip
    warehouse.own("acknowledgements", acknowledgement, [
        {"alert_id": text, "acknowledged_by": text, "comment": text} for text in HOSTILE
    ])  # fmt: skip
    # Of later: the one of `*` is of all alerts, and nobody would be told of any.
    silence = {"alert_name": "", "model_name": MODEL_NAME, "starts_at": "2024-04-01",
               "ends_at": "2024-04-02", "comment": ""}  # fmt: skip
    warehouse.own("silences", silence, [
        {"alert_name": text, "comment": text} for text in HOSTILE
    ])  # fmt: skip
    warehouse.own('"maintenance; x"', silence, [{"comment": text} for text in HOSTILE])
    events, labels = hostile_traffic()
    size = len(events) // len(HARMFUL) + 1
    for number, text in enumerate(HARMFUL):
        name = text.replace("/", "_")
        warehouse.write(f"inference_events/{name}.jsonl", events[number * size :][:size])
    warehouse.write('inference_events/new\nline\\\x1b[2J "q".jsonl.gz', [event("last")])
    warehouse.write("labels/it's {{ 1 }}.jsonl.gz", labels)
    build = warehouse.build(as_of="2024-03-08")
    return warehouse, build, events


def unharmed(warehouse):
    """Nothing was dropped or made by a name."""
    assert warehouse.query("select alive from own.canary") == [(42,)]
    for folder in (PROJECT, warehouse.folder, warehouse.folder.parent, warehouse.landing):
        assert not (folder / "hit").exists(), folder
    return True


def test_the_build_gets_through(built):
    warehouse, build, _ = built
    assert unharmed(warehouse)
    assert " ERROR=0 " in build.end, build.end
    schemas = warehouse.query("select distinct schema_name from duckdb_tables() order by all")
    assert schemas == [("ml_monitoring",), ("ml_monitoring_internal",),
                       ("ml_monitoring_restricted",), ("own",)]  # fmt: skip


def test_names_come_back_letter_for_letter(built):
    warehouse, _, events = built

    def column(sql):
        return {value for (value,) in warehouse.query(sql)}

    public, internal = "ml_monitoring", "ml_monitoring_internal"
    assert column(f"select distinct model_name from {public}.service_levels") == {
        MODEL_NAME, "churn", *HOSTILE,
    }  # fmt: skip
    versions = column(
        f"select distinct model_version from {public}.feature_drift where model_name ="
        f" '{MODEL_NAME.replace(chr(39), chr(39) * 2)}'"
    )
    assert versions == {"v1", VERSION}
    pair = f"{HARMFUL[0]} x {ATTRIBUTE}"
    for table, more in (("feature_drift", []), ("model_performance", [pair])):
        keys = column(f"select distinct slice_key from {public}.{table}")
        assert keys == {"all", *SLICES, ATTRIBUTE, *more}, table
        values = column(
            f"select distinct slice_value from {public}.{table}"
            f" where slice_key = '{ATTRIBUTE.replace(chr(39), chr(39) * 2)}'"
        )
        assert values == set(HOSTILE), table
    assert column(f"select distinct feature from {public}.feature_drift") == {
        *HARMFUL, "' + number", "score",
    }  # fmt: skip
    assert column(f"select distinct category from {public}.feature_distributions") >= set(HOSTILE)
    for table, name in (
        (f"{public}.slo_status", "slo_name"), (f"{public}.slo_status", "runbook"),
        (f"{public}.alerts", "owner"), (f"{public}.alerts", "runbook"),
        (f"{internal}.stg_slo_targets", "comment"), (f"{internal}.stg_alert_rules", "comment"),
        (f"{internal}.stg_alert_silences", "comment"),
        (f"{internal}.stg_alert_acknowledgements", "comment"),
        (f"{internal}.stg_alert_acknowledgements", "acknowledged_by"),
        (f"{internal}.int_upstream_hours", "upstream"),
    ):  # fmt: skip
        assert column(f"select distinct {name} from {table}") - {None, ""} == set(HOSTILE), (
            table,
            name,
        )
    assert column("select distinct request_id from ml_monitoring_restricted"
                  ".stg_valid_events") == {
        record["request_id"] for record in events
        if isinstance(record, dict) and record["request_id"][:2] not in ("r ", "t ")
    } | {"last"}  # fmt: skip
    files = {text.replace("/", "_") + ".jsonl" for text in HARMFUL}
    files |= {'new\nline\\\x1b[2J "q".jsonl.gz'}
    found = column(
        f"select file_path from {public}.ingestion_reconciliation where input = 'inference_events'"
    )
    assert found == {f"inference_events/{name}" for name in files}
    reasons = warehouse.query(
        f"select reject_reason, count(*) from {public}.rejected_records group by all order by all"
    )
    assert reasons == [(reason, len(HOSTILE)) for reason in
                       ("invalid_role", "invalid_ts", "malformed")]  # fmt: skip


def test_the_published_copy_holds_the_same_names_and_nothing_raw(built):
    warehouse, *_ = built
    with duckdb.connect(str(warehouse.published), read_only=True) as connection:
        found = connection.sql("select distinct alert_name from ml_monitoring.alerts").fetchall()
        tables = connection.sql("select schema_name, table_name from duckdb_tables()").fetchall()
        leaks = [
            table
            for schema, table in tables
            if connection.sql(
                f"from {schema}.{table} as rows where rows::varchar like '%{RAW}%' limit 1"
            ).fetchall()
        ]
    assert {name for (name,) in found} == {*HOSTILE, *(f"{text}!" for text in HOSTILE)}
    assert len(tables) > 20 and not leaks
    # Where it may be, it is found: the search can find it.
    restricted = "ml_monitoring_restricted.stg_rejected_lines"
    query = f"select count(*) from {restricted} as rows where rows::varchar like '%{RAW}%'"
    assert warehouse.query(query) == [(len(HOSTILE),)]


def test_the_terminal_is_left_alone(built):
    """Neither a sequence that steers it, nor a line that the build has not written."""
    warehouse, build, _ = built
    assert "SLO report as of" in build.output and "why      " in build.output
    outputs = [build.output]
    for program in (["-m", "demo.summary"], ["python_udfs/notifier.py", "--dry-run"]):
        done = subprocess.run(
            [sys.executable, *program], cwd=PROJECT, capture_output=True, text=True, check=False,
            env=os.environ | {"ML_MONITORING_PATH": str(warehouse.database)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout + done.stderr)
    assert "The newest alerts" in outputs[1] and "[/bold] [link=x]" in outputs[1]
    assert "firing: " in outputs[2]
    for output in outputs:
        assert not [line for line in output.splitlines() if line.lstrip().startswith("::error")]
        assert not re.search("[\x1b\0\u2028\u202e]", output)


class Elements(HTMLParser):
    """Counts the elements of a page, and keeps what attributes there are."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text.append(data)


def run_tool(warehouse, *arguments):
    """Run a program of the project on the database."""
    return subprocess.run(
        [sys.executable, "-m", *arguments, "--database", str(warehouse.database)],
        cwd=PROJECT, capture_output=True, text=True, check=False,
        env=os.environ | {"ML_MONITORING_PATH": str(warehouse.database)},
    )  # fmt: skip


def test_the_report_shows_names_as_text(built, tmp_path):
    warehouse, *_ = built
    site = tmp_path / "site"
    done = run_tool(warehouse, "report", "--quiet", "--folder", str(site))
    assert done.returncode == 0, done.stderr
    texts = ""
    for path in site.rglob("*"):
        assert path.resolve().is_relative_to(site)
        if path.suffix == ".html":
            page = Elements()
            page.feed(path.read_text("utf-8"))
            assert "hacked" not in page.tags, path
            assert not {name for name in page.attributes if name.startswith("on")}, path
            texts += "".join(page.text)
        elif path.suffix == ".js" and site / "assets" not in path.parents:
            # One call with two values of JSON, and nothing else.
            content = re.fullmatch(
                r"report\.receive\((.*)\);\n", path.read_text("utf-8"), re.DOTALL
            )
            json.loads(f"[{content[1]}]")
            assert not re.search("[<>\u2028\u2029]", content[1]), path
    for text in (MODEL_NAME, *HARMFUL):
        assert text in texts, text
    assert list(site.parent.iterdir()) == [site]
    assert unharmed(warehouse)


def test_root_causes_are_told_as_text(built, tmp_path):
    warehouse, *_ = built
    listed = run_tool(warehouse, "rca")
    assert listed.returncode == 0, listed.stderr
    ids = re.findall(r"^[0-9a-f]{16}(?=  )", listed.stdout, re.MULTILINE)
    # An alert a line, an empty one, and how to go on.
    assert ids and len(listed.stdout.splitlines()) == len(ids) + 2
    assert not re.search("[\0\x1b\u2028\u202e]", listed.stdout)
    folder = tmp_path / "incidents"
    told = run_tool(warehouse, "rca", "--alert", ids[0], "--folder", str(folder))
    assert told.returncode == 0, told.stderr
    (report,) = folder.iterdir()
    text = report.read_text("utf-8")
    assert not re.search("[\0\x1b\u2028\u202e]|<hacked|<script", text)
    for name in (HARMFUL[0], "../../hit", *UNSPEAKABLE):
        refused = run_tool(
            warehouse, "rca", "--folder", str(folder), "--alert", name.replace("\0", "")
        )
        assert refused.returncode == 2 and "Traceback" not in refused.stderr, name
    assert list(folder.iterdir()) == [report]
    for name in (MODEL_NAME, HARMFUL[3], UNSPEAKABLE[-1]):
        asked = run_tool(
            warehouse, "rca", "--folder", str(folder), "--metric", "error_rate",
            f"--model={name}", "--model-version=" + VERSION.replace("\0", ""), "--from=2024-03-07",
            "--to=2024-03-08",
        )  # fmt: skip
        assert asked.returncode in (0, 2) and "Traceback" not in asked.stderr, asked.stderr
    assert {path.parent for path in tmp_path.rglob("*.md")} == {folder}
    assert unharmed(warehouse)


#: For each place that takes a name: the vars with a text there, and the name of the var.
PLACES = {
    "model": lambda text: ("monitored_models", changed(name=text)),
    "feature": lambda text: ("monitored_models", changed(features=[feature(text)], slices=[])),
    "slice": lambda text: ("monitored_models", changed(slices=[text])),
    "protected": lambda text: ("monitored_models", changed(protected_attributes=[text])),
    "task": lambda text: ("monitored_models", changed(task=text)),
    "key": lambda text: ("monitored_models", changed(**{text: 1})),
    "training path": lambda text: ("monitored_models", changed(baseline={"path": text})),
    "training relation": lambda text: ("monitored_models", changed(baseline={"relation": text})),
    "custom name": lambda text: ("custom_metrics", [{"name": text, "expression": "count(*)"}]),
    "expression": lambda text: ("custom_metrics", [{"name": "a", "expression": text}]),
    "attribute": lambda text: (
        "custom_metrics",
        [{"name": "a", "expression": "count(*)", "attributes": [text]}],
    ),
    "as_of": lambda text: ("as_of", text),
    "landing_path": lambda text: ("landing_path", text),
    **{
        name: lambda text, name=name: (name, text)
        for name in (
            "inference_events_relation", "labels_relation", "slo_targets_relation",
            "alert_rules_relation", "deployments_relation", "launch_margins_relation",
            "alert_acknowledgements_relation", "alert_silences_relation",
            "maintenance_windows_relation",
        )
    },
}  # fmt: skip
#: dbt takes a var that is text for a template, before the project sees it; docs/security.md.
TEMPLATES = {place for place in PLACES if place.endswith(("_relation", "landing_path", "as_of"))}
#: Where any text without control characters is a name that works, up to a length.
FREE = {"model", "landing_path"}
NEVER = {"protected", "task", "key", "training path", "custom name", "expression", "as_of"}
TRIED = [HARMFUL[0], HARMFUL[3], *UNSPEAKABLE]


@pytest.mark.parametrize("place", PLACES)
def test_a_name_in_the_configuration_works_or_is_refused(run_operation, place):  # noqa: F811
    for text in TRIED:
        if (place in TEMPLATES and "{{" in text) or (place == "key" and len(text) > 1000):
            continue
        name, value = PLACES[place](text)
        given = {"monitored_models": changed()} | {name: value}
        success, message = run_operation("validate_config", given)
        has_control = re.search("[\0-\x1f]", text)
        if place in NEVER:
            expected = False
        elif place in FREE:
            expected = not has_control and (place != "model" or len(text) <= 200)
        elif place in ("feature", "slice", "attribute"):
            expected = not has_control and not re.search(r'["\\]', text) and len(text) <= 200
        else:
            expected = not has_control and not re.search(r"[\"'\\`]", text)
        assert success is expected, (place, text[:50], message[:500])
        if not success:
            # It names the var, the name and the cure.
            assert f"The var `{name}`" in message, message[:500]
            assert text[:20].split("\n")[0].strip() in message, message[:500]
            assert "A right example" in message


@pytest.mark.parametrize("text", [*TRIED, "", 7, "1st", "a.b", "ümlaut", "a b"])
def test_a_schema_is_a_plain_identifier(tmp_path, text):
    warehouse = Warehouse(tmp_path)
    warehouse.execute("create table own.canary as select 42 as alive")
    build = warehouse.dbt("ls", "--select", "service_levels", ml_monitoring_schema=text)
    assert build.exit_code != 0
    assert "The var `ml_monitoring_schema` is" in build.output
    assert "ml_monitoring_schema: ml_monitoring" in build.output
    assert unharmed(warehouse)


def test_columns_of_a_relation_may_be_named_anything(tmp_path):
    """What is no field of an event is not read, whatever it is called."""
    warehouse = Warehouse(tmp_path, {"inference_events_relation": "own.events"})
    warehouse.execute("create table own.canary as select 42 as alive")
    record = event("r1", features={"age": 3}, attributes=...)
    warehouse.execute(
        "create table own.events as select ?::varchar as request_id, ?::timestamp as ts,"
        " ? as model, ? as model_version, 200 as status, 1.0 as latency_ms, 0.5 as score,"
        " {'age': 3} as features,"
        ' 1 as "a"" := 1); drop table own.canary; --", 2 as "{{ 1 }}\'"',
        record["request_id"], "2024-01-10 12:00:00", "churn", "v1",
    )  # fmt: skip
    build = warehouse.build("--select", "+ingestion_reconciliation")
    assert build.exit_code == 0, build.end
    assert warehouse.query(
        "select accepted_count, rejected_count from ml_monitoring.ingestion_reconciliation"
    ) == [(1, 0)]
    assert unharmed(warehouse)
