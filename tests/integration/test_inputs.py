"""What staging makes of nasty inputs, judged by the published contracts."""

import gzip
import json
import math
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from tests.integration.warehouse import PROJECT, Warehouse, event, label

INGESTION = [
    "+rejected_records",
    "+field_issues",
    "+ingestion_reconciliation",
    "+stg_rejected_lines",
    "+stg_inference_events",
]

NASTY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [
            "",
            " ",
            "live",
            "shadow",
            "12.5",
            "NaN",
            "null",
            'é\n"\\',
            "\x00",
            "🦆",
            "x" * 3000,
            200.0,
            200.7,
            99,
            100,
            599,
            600,
            -0.0,
            1000000000.0,
            1000000100.0,
            1e309,
            0.0,
            0,
            1,
            1.2,
            [],
            {},
            [1],
            {"a": [1]},
            [None],
        ]
    ),
)
MOMENTS = st.one_of(
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.sampled_from(
        [
            "2024-01-10T12:00:00Z",
            "2024-01-10t12:00:00.123456789z",
            "2024-01-10T12:00:00+05:30",
            "2024-01-10T12:00:00",
            "2024-01-10 12:00:00Z",
            "2024-01-10",
            "infinity",
            "epoch",
            "2024-02-30T12:00:00Z",
            "2024-01-10T24:00:00Z",
            "2024-01-10T12:00:60Z",
            "now",
            "1970-01-01T00:00:00Z",
            "2024-01-10T12:00:00Z\n",
            "2024-01-10T12:00:00-00:00",
            "2000-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "２024-01-10T12:00:00Z",
        ]
    ),
    NASTY,
)


def record_strategy(valid, fields):
    """Take a valid record and put nasty values, or nothing, in some of its fields."""
    changes = st.dictionaries(st.sampled_from(fields), NASTY | st.just(...), max_size=3)
    moments = st.fixed_dictionaries(
        {}, optional={name: MOMENTS for name in ("ts", "labeled_at") if name in fields}
    )
    return st.tuples(changes, moments).map(
        lambda parts: {
            name: value for name, value in (valid | parts[0] | parts[1]).items() if value is not ...
        }
    )


def sample(strategy, size):
    """Draw many records; which ones depends on the hypothesis version and the code it sees."""
    records = []

    @settings(
        max_examples=size, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def collect(record):
        records.append(record)

    collect()
    return records


def validator(name):
    """The published contract, with formats asserted."""
    schema = json.loads((PROJECT / "contracts" / f"{name}.schema.json").read_text())
    return Draft202012Validator(schema, format_checker=FormatChecker(["date-time"]))


def violations(contract, record):
    """What the contract says of a record: whether it is rejected, and the fields at fault."""
    rejects, fields = False, set()
    # NaN passes every comparison of a validator; JSON has no such number.
    known = {
        name: "NaN" if isinstance(value, float) and math.isnan(value) else value
        for name, value in record.items()
    }
    for error in contract.iter_errors(known):
        if error.schema["x-on-violation"] == "reject":
            rejects = True
        elif error.path:
            fields.add(error.path[0])
        else:
            fields |= set(error.validator_value) - set(known)
    return rejects, fields


@pytest.fixture(scope="module")
def judged(module_warehouse):
    """Generated records, and the warehouse that has read them."""
    fields = ["request_id", "model", "model_version", "role", "ts", "status", "latency_ms"]
    fields += ["inference_time_ms", "score", "prediction", "features", "attributes"]
    fields += ["feature_hash", "trace_id", "upstream", "preprocessing", "unknown"]
    events = sample(record_strategy(event(), fields), 1500)
    for number, record in enumerate(events):
        # A number makes each request unique, so that none hides behind a duplicate.
        if isinstance(record.get("request_id"), str) and record["request_id"]:
            record["request_id"] += f"-{number}"
    labels = sample(record_strategy(label(), ["request_id", "label", "labeled_at", "model"]), 1500)
    module_warehouse.write("inference_events/nasty.jsonl", events)
    module_warehouse.write("labels/nasty.jsonl.gz", labels)
    # Years to 9999 are drawn and nothing may be held; so many minutes make no service table.
    build = module_warehouse.build("--select", *INGESTION, as_of="9999-12-30")
    assert build.exit_code == 0, build.end
    return module_warehouse, events, labels


def test_contract_and_staging_reject_the_same_events(judged):
    warehouse, events, _ = judged
    contract = validator("inference_event")
    expected = {n for n, record in enumerate(events, 1) if violations(contract, record)[0]}
    found = dict(
        warehouse.query(
            "select line_number, reject_reason from ml_monitoring.rejected_records"
            " where input = 'inference_events'"
        )
    )
    # Enough of both; how many is up to what hypothesis draws.
    assert len(expected) > 200 and len(events) - len(expected) > 200
    differing = expected ^ set(found)
    assert not differing, [(events[n - 1], found.get(n)) for n in sorted(differing)[:5]]


def test_contract_and_staging_find_the_same_field_issues(judged):
    warehouse, events, _ = judged
    contract = validator("inference_event")
    found = {}
    for line, name in warehouse.query(
        "select line_number, field from ml_monitoring.field_issues where field not like '%.%'"
    ):
        found.setdefault(line, set()).add(name)
    checked = Counter()
    for number, record in enumerate(events, 1):
        rejects, fields = violations(contract, record)
        if rejects:
            continue
        score = record.get("score")
        # What only staging can know: this model's scores are probabilities, and events of a
        # model that is not monitored need none.
        if record["model"] == "churn":
            if isinstance(score, int | float) and not isinstance(score, bool):
                fields |= {"score"} if not 0 <= score <= 1 else set()
        elif score is None:
            fields -= {"score"}
        assert found.get(number, set()) == fields, record
        checked.update(fields)
    assert min(checked[name] for name in ("latency_ms", "score", "prediction", "features")) > 5
    assert set(checked) >= {"upstream", "preprocessing", "trace_id", "feature_hash", "attributes"}


def test_contract_and_staging_reject_the_same_labels(judged):
    warehouse, _, labels = judged
    contract = validator("label")
    expected = {n for n, record in enumerate(labels, 1) if violations(contract, record)[0]}
    found = {
        line
        for (line,) in warehouse.query(
            "select line_number from ml_monitoring.rejected_records where input = 'labels'"
        )
    }
    assert len(expected) > 300 and len(labels) - len(expected) > 50
    differing = expected ^ found
    assert not differing, [labels[n - 1] for n in sorted(differing)[:5]]


def test_every_line_has_one_outcome(judged):
    warehouse, events, labels = judged
    rows = warehouse.query(
        "select input, line_count, accepted_count + duplicate_count + rejected_count + held_count"
        " + superseded_count + unmatched_count from ml_monitoring.ingestion_reconciliation"
        " order by input"
    )
    assert rows == [("inference_events",) + (len(events),) * 2, ("labels",) + (len(labels),) * 2]


MALFORMED = {
    "not json": "malformed",
    '{"request_id": "cut off", "ts": "2024-01-1': "malformed",
    "[1]": "malformed",
    "42": "malformed",
    "null": "malformed",
    '"text"': "malformed",
    '{"a": 1} {"b": 2}': "malformed",
    json.dumps(event(request_id=...)): "missing_request_id",
    json.dumps(event(request_id=None)): "missing_request_id",
    json.dumps(event(request_id="")): "invalid_request_id",
    json.dumps(event(request_id=7)): "invalid_request_id",
    json.dumps(event(model=...)): "missing_model",
    json.dumps(event(model=["churn"])): "invalid_model",
    json.dumps(event(model_version=...)): "missing_model_version",
    json.dumps(event(model_version=1)): "invalid_model_version",
    json.dumps(event(role="canary")): "invalid_role",
    json.dumps(event(role=1)): "invalid_role",
    json.dumps(event(ts=...)): "missing_ts",
    json.dumps(event(ts="yesterday")): "invalid_ts",
    json.dumps(event(ts=1704888000)): "invalid_ts",
    json.dumps(event(status=...)): "missing_status",
    json.dumps(event(status="OK")): "invalid_status",
    json.dumps(event(status=200.7)): "invalid_status",
    json.dumps(event(status=True)): "invalid_status",
    json.dumps(event(status=999)): "invalid_status",
    json.dumps(event(status=99)): "invalid_status",
}
MALFORMED_LABELS = {
    "{": "malformed",
    json.dumps(label(request_id=None)): "missing_request_id",
    json.dumps(label(request_id="")): "invalid_request_id",
    json.dumps(label(label=None)): "missing_label",
    json.dumps(label(label=True)): "invalid_label",
    json.dumps(label(label="")): "invalid_label",
    json.dumps(label(label=math.nan)): "invalid_label",
    json.dumps(label(labeled_at=None)): "missing_labeled_at",
    json.dumps(label(labeled_at="soon")): "invalid_labeled_at",
    json.dumps(label(model="")): "invalid_model",
    json.dumps(label(model=1)): "invalid_model",
}


@pytest.fixture(scope="module")
def rejected(tmp_path_factory):
    warehouse = Warehouse(tmp_path_factory.mktemp("rejected"))
    warehouse.write("inference_events/bad.jsonl", list(MALFORMED))
    warehouse.write("labels/bad.jsonl", list(MALFORMED_LABELS))
    assert warehouse.build("--select", *INGESTION).exit_code == 0
    return warehouse


@pytest.mark.parametrize(
    ("source", "lines"), [("inference_events", MALFORMED), ("labels", MALFORMED_LABELS)]
)
def test_each_rejected_line_says_why_and_keeps_its_text(rejected, source, lines):
    found = rejected.query(
        "select raw_line, reject_reason from ml_monitoring_restricted.stg_rejected_lines"
        " where input = ? order by line_number",
        source,
    )
    assert found == list(lines.items())


def test_rejected_text_is_in_no_public_table(rejected):
    columns = rejected.query(
        "select column_name from information_schema.columns where table_schema = 'ml_monitoring'"
    )
    assert ("raw_line",) not in columns and len(columns) > 20


def test_damaged_files_lose_nothing_that_can_be_read(warehouse):
    lines = [json.dumps(event(f"r{n}")) for n in range(50)]
    text = "".join(f"{line}\n" for line in lines).encode()
    folder = warehouse.landing / "inference_events" / "deep" / "er"
    folder.mkdir(parents=True)
    (folder / "whole.jsonl").write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n\r\n"))
    (folder / "torn.jsonl").write_bytes(text[:-10].replace(b': "r', b': "torn'))
    (folder / "empty.jsonl").write_bytes(b"")
    (folder / "empty.jsonl.gz").write_bytes(b"")
    (folder / "no_gzip.jsonl.gz").write_bytes(text)
    cut = gzip.compress(text.replace(b': "r', b': "cut'), mtime=0)
    (folder / "cut.jsonl.gz").write_bytes(cut[: len(cut) - 30])
    two = gzip.compress(text.replace(b': "r', b': "one')) + gzip.compress(
        text.replace(b': "r', b': "two')
    )
    (folder / "members.jsonl.gz").write_bytes(two)
    (folder / "bytes.jsonl").write_bytes(
        b'{"request_id": "\xff"}\n' + text.replace(b': "r', b': "utf')
    )
    (folder / "long.jsonl").write_text(
        json.dumps(event("long", trace_id="x" * 5_000_000))
        + "\n"
        + json.dumps(event("next"))
        + "\n"
    )
    (folder / "no.parquet").write_bytes(b"PAR1 it is not")
    (folder / "ignored.csv").write_text("a,b\n")
    build = warehouse.build("--select", *INGESTION)
    assert build.exit_code == 0, build.end
    found = {
        path.rsplit("/", 1)[-1]: (lines, accepted, rejected, problem)
        for path, lines, accepted, rejected, problem in warehouse.query(
            "select file_path, line_count, accepted_count, rejected_count, file_problem"
            " from ml_monitoring.ingestion_reconciliation"
        )
    }
    problems = {name: row[3] for name, row in found.items()}
    assert found["whole.jsonl"] == (50, 50, 0, None)
    assert found["torn.jsonl"][:3] == (49, 49, 0) and "incomplete" in problems["torn.jsonl"]
    assert found["empty.jsonl"] == (0, 0, 0, None)
    assert found["empty.jsonl.gz"] == (0, 0, 0, None)
    assert found["no_gzip.jsonl.gz"][:3] == (0, 0, 0) and "gzip" in problems["no_gzip.jsonl.gz"]
    assert found["cut.jsonl.gz"][1] > 0 and "cut off" in problems["cut.jsonl.gz"]
    assert found["members.jsonl.gz"] == (100, 100, 0, None)
    assert found["bytes.jsonl"] == (51, 50, 1, None)
    assert found["long.jsonl"] == (2, 2, 0, None)
    assert found["no.parquet"][:3] == (0, 0, 0) and "Parquet" in problems["no.parquet"]
    assert "ignored.csv" not in found


PARQUET_COLUMNS = [
    "request_id", "model_name", "model_version", "role", "ts", "status", "latency_ms",
    "inference_time_ms", "score", "prediction", "numerical_features", "categorical_features",
    "attributes", "reject_reason", "field_issues",
]  # fmt: skip


def test_all_formats_give_the_same_rows(warehouse):
    records = []
    for number in range(40):
        record = event(
            f"r{number}",
            ts=f"2024-01-10T12:{number:02d}:00.5Z",
            latency_ms=number * 1.25,
            inference_time_ms=None if number % 3 else 2.5,
            score=(None, 0.0, 1.0, 1.2, -0.5)[number % 5],
            prediction=number % 2,
            role=("live", "shadow", None)[number % 3],
            status=(200, 503)[number % 2],
            features={
                "age": None if number % 7 == 0 else number,
                "plan": "ä\n" if number % 4 else None,
                "is_new": number % 2 == 0,
                "undeclared": [number],
            },
            attributes=None if number % 6 == 0 else {"country": "de"},
        )
        records.append(record)
    typed = [record | {"ts": record["ts"].replace("Z", "")} for record in records]
    table = pa.Table.from_pylist(typed)
    table = table.set_column(
        table.schema.get_field_index("ts"), "ts", table["ts"].cast(pa.timestamp("ns"))
    )
    odd = table.set_column(
        table.schema.get_field_index("latency_ms"),
        "latency_ms",
        table["latency_ms"].cast(pa.string()),
    )
    (warehouse.landing / "inference_events").mkdir()
    pq.write_table(table, warehouse.landing / "inference_events" / "typed.parquet")
    pq.write_table(odd, warehouse.landing / "inference_events" / "odd.parquet")
    warehouse.write("inference_events/lines.jsonl", records)
    warehouse.write("inference_events/lines.jsonl.gz", records)
    assert warehouse.build("--select", *INGESTION).exit_code == 0

    def rows(name):
        return warehouse.query(
            f"select {', '.join(PARQUET_COLUMNS)} from ml_monitoring_restricted.stg_inference_lines"
            " where line_number > 0 and file_path like ? order by line_number",
            f"%/{name}",
        )

    assert len(rows("lines.jsonl")) == 40
    assert rows("lines.jsonl.gz") == rows("lines.jsonl")
    assert rows("typed.parquet") == rows("lines.jsonl")
    wrong = rows("odd.parquet")
    assert [row[6] for row in wrong] == [None] * 40
    assert all({"field": "latency_ms", "issue": "wrong_type"} in row[-1] for row in wrong)
    assert [row[:6] for row in wrong] == [row[:6] for row in rows("lines.jsonl")]


def test_declared_features_keep_their_type(warehouse):
    features = [
        {"age": "old", "plan": 7, "is_new": 1},
        {"age": True, "plan": {"name": "basic"}, "is_new": "true"},
        {"age": math.inf, "plan": True, "is_new": False},
        {"age": None},
        [1, 2],
        None,
    ]
    warehouse.write(
        "inference_events/a.jsonl",
        [event(f"r{n}", features=value) for n, value in enumerate(features)],
    )
    assert warehouse.build("--select", *INGESTION).exit_code == 0
    found = warehouse.query(
        "select numerical_features.age, categorical_features.plan, categorical_features.is_new"
        " from ml_monitoring_restricted.stg_inference_events order by request_id"
    )
    assert found == [
        (None, "7", None),
        (None, None, None),
        (math.inf, "true", "false"),
        (None, None, None),
        (None, None, None),
        (None, None, None),
    ]
    issues = warehouse.query(
        "select request_id, field from ml_monitoring.field_issues order by all"
    )
    assert issues == [
        ("r0", "features.age"),
        ("r0", "features.is_new"),
        ("r1", "features.age"),
        ("r1", "features.is_new"),
        ("r1", "features.plan"),
        ("r4", "features"),
    ]


ISSUES = [
    ({"latency_ms": "fast"}, "latency_ms", "wrong_type"),
    ({"latency_ms": math.nan}, "latency_ms", "not_finite"),
    ({"latency_ms": -1}, "latency_ms", "out_of_range"),
    ({"latency_ms": 2e9}, "latency_ms", "out_of_range"),
    ({"latency_ms": ...}, "latency_ms", "missing"),
    ({"inference_time_ms": True}, "inference_time_ms", "wrong_type"),
    ({"inference_time_ms": math.inf}, "inference_time_ms", "not_finite"),
    ({"inference_time_ms": -0.5}, "inference_time_ms", "out_of_range"),
    ({"score": "0.5"}, "score", "wrong_type"),
    ({"score": math.nan}, "score", "not_finite"),
    ({"score": 1.2}, "score", "out_of_range"),
    ({"score": -0.1}, "score", "out_of_range"),
    ({"score": None}, "score", "missing"),
    ({"prediction": True}, "prediction", "wrong_type"),
    ({"features": 5}, "features", "wrong_type"),
    ({"attributes": ["de"]}, "attributes", "wrong_type"),
    ({"attributes": {"country": {"code": "de"}}}, "attributes.country", "wrong_type"),
    ({"upstream": "weather"}, "upstream", "wrong_type"),
    ({"preprocessing": 1}, "preprocessing", "wrong_type"),
    ({"trace_id": 7}, "trace_id", "wrong_type"),
    ({"feature_hash": "abc"}, "feature_hash", "invalid_format"),
]


def test_each_field_issue_says_why_and_keeps_the_event(warehouse):
    records = [event(f"r{n:02d}", **change) for n, (change, *_) in enumerate(ISSUES)]
    records += [event("fine"), event("failed", status=500, score=None)]
    warehouse.write("inference_events/a.jsonl", records)
    assert warehouse.build("--select", *INGESTION).exit_code == 0
    found = warehouse.query(
        "select request_id, field, issue from ml_monitoring.field_issues order by request_id"
    )
    assert found == [(f"r{n:02d}", name, issue) for n, (_, name, issue) in enumerate(ISSUES)]
    accepted = warehouse.query("select count(*) from ml_monitoring_restricted.stg_inference_events")
    assert accepted == [(len(records),)]
