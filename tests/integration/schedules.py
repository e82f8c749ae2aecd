"""Schedules of landing files: what services, retries and people do to them over some days.

A schedule is a list of steps, each a list of (action, seed) and the hours until its build. An
action is a method of ``Landing`` that changes the folder, or the configuration, by its own seed:
so a schedule can be repeated, and shortened by leaving actions out.
"""

import copy
import random
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.integration.warehouse import MODEL, PROJECT, RULE, TARGET, Warehouse, event, label

PUBLIC = sorted(path.stem for path in (PROJECT / "models" / "marts").rglob("*.sql"))
TARGETS = [
    {"slo_name": "burst", "metric": "latency_p95_ms", "window_size": "30m", "objective": "1e9"},
    {"slo_name": "errors", "window_size": "6h", "objective": "1"},
    {"slo_name": "slices", "slice_key": "plan", "window_size": "2d", "objective": "1"},
    {"slo_name": "budget", "window_size": "28d", "objective": "0.01", "severity": "ticket"},
]
RULES = [
    {
        "alert_name": "errors often",
        "severity": "ticket",
        "threshold": "0.1",
        "breach_windows": "2",
        "evaluation_windows": "3",
        "resolve_windows": "1",
        "max_age_hours": "2",
        "on_missing": "breach",
    },
    {
        "alert_name": "slow and wrong",
        "severity": "ticket",
        "metric": "latency_p95_ms",
        "window_size": "10m",
        "threshold": "50",
    },
    {
        "alert_name": "slow and wrong",
        "severity": "ticket",
        "metric": "error_count",
        "window_size": "15m",
    },
    {
        "alert_name": "drift",
        "metric": "psi",
        "slice_key": "*",
        "feature": "*",
        "window_size": "1d",
        "threshold": "0.02",
        "severity": "info",
        "triggers_retraining": "true",
    },
    {
        "alert_name": "coverage",
        "severity": "ticket",
        "metric": "label_coverage",
        "window_size": "1d",
        "comparator": "<",
        "threshold": "0.7",
    },
]
FIRST_DAY = datetime(2024, 1, 10)
#: The baseline is provisional in the first days and frozen from the third.
VARS = {
    "monitored_models": [
        MODEL
        | {
            "baseline": {"start": "2024-01-10", "end": "2024-01-11"},
            "protected_attributes": ["plan"],
        }
    ],
    "baseline_grace_days": 2,
    "drift_windows_days": [1, 2],
    "min_samples": 20,
}
#: What freezes is an input: a build from nothing has to be given it.
FROZEN = ["int_baseline_periods", "int_baseline_bins", "int_baseline_days", "int_baseline_samples"]


def traffic(rng, day, count, prefix, **fields):
    """Events of one day, as a service would log them."""
    start = datetime.fromisoformat(day)
    return [
        event(
            f"{prefix}{number}",
            ts=(start + timedelta(seconds=rng.uniform(0, 86400))).isoformat() + "Z",
            status=rng.choice([200, 200, 200, 500]),
            latency_ms=rng.lognormvariate(3, 1),
            inference_time_ms=rng.choice([None, rng.lognormvariate(2, 1)]),
            score=rng.random(),
            features={"age": rng.randint(18, 80), "plan": rng.choice(["basic", "pro", None])},
            attributes={"country": rng.choice(["de", "fr"])},
            **fields,
        )
        for number in range(count)
    ]


def shadows_of(rng, events, version="shadow"):
    """What a shadow logs of the same requests, a little later."""
    return [
        record
        | {
            "model_version": version,
            "role": "shadow",
            "ts": (
                datetime.fromisoformat(record["ts"]) + timedelta(hours=rng.choice([0, 0, 0, 2]))
            ).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "latency_ms": rng.lognormvariate(3, 1),
            "status": rng.choice([200, 200, 500]),
            "score": rng.random(),
        }
        for record in events
    ]


def labels_of(rng, events, hours):
    """A label for each event, up to so many hours after it."""
    return [
        label(
            record["request_id"],
            label=rng.choice([0, 1]),
            labeled_at=(
                datetime.fromisoformat(record["ts"]) + timedelta(hours=rng.uniform(0, hours))
            ).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        for record in events
    ]


def snapshot(warehouse):
    """Every public table, row by row in one order."""
    tables = {name: warehouse.query(f"from ml_monitoring.{name} order by all") for name in PUBLIC}
    # When a file was written is not what it holds.
    tables["ingestion_reconciliation"] = warehouse.query(
        "select * exclude (modified_at) from ml_monitoring.ingestion_reconciliation order by all"
    )
    return tables


def differences(tables, found, expected):
    """Some rows of each table that only one of the two has."""
    lines = []
    for table in tables:
        stepwise, at_once = map(str, found[table]), map(str, expected[table])
        stepwise, at_once = set(stepwise), set(at_once)
        lines.append(f"{table}: only step by step {sorted(stepwise - at_once)[:3]}")
        lines.append(f"{table}: only at once {sorted(at_once - stepwise)[:3]}")
    return "\n".join(lines)


def set_targets(warehouse, targets=TARGETS, rules=RULES):
    warehouse.own("slo_targets", TARGET, targets)
    warehouse.own("alert_rules", RULE, rules)


def build_at_once(warehouse, folder, threads=2):
    """Build the same files in an empty database that has the same frozen baselines."""
    fresh = Warehouse(folder, copy.deepcopy(warehouse.vars))
    for name, form in (("slo_targets", TARGET), ("alert_rules", RULE)):
        fresh.own(name, form, warehouse.frame(f"from own.{name}").to_dict("records"))
    schema = "ml_monitoring_internal"
    held = [name for (name,) in warehouse.query(
        f"select table_name from duckdb_tables() where schema_name = '{schema}'"
    ) if name in FROZEN]  # fmt: skip
    fresh.execute(f"create schema {schema}")
    for name in held:
        rows = warehouse.frame_arrow(f"from {schema}.{name}")
        fresh.copy_in(f"{schema}.{name}", rows)
    # Where nothing is frozen yet, the tables are made as in a first build.
    run = fresh.dbt("run", "--threads", str(threads))
    assert run.exit_code == 0, run.end
    return fresh


class Landing:
    """The landing folder of a warehouse, and what people do to it.

    Each action takes a random.Random of its own. The moment that has come is ``now``.
    """

    def __init__(self, warehouse):
        self.warehouse = warehouse
        self.now = FIRST_DAY
        self.count = 0
        self.events = []  # what has been sent at least once
        self.torn = None
        self.files = {"inference_events": {}, "labels": {}}

    def act(self, action, seed):
        getattr(self, action)(random.Random(seed))

    def write(self, folder, records, suffix=".jsonl"):
        self.count += 1
        name = f"{folder}/{self.count:03d}{suffix}"
        if suffix == ".parquet":
            path = self.warehouse.landing / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(records), path)
        else:
            self.warehouse.write(name, records)
        self.files[folder][name] = (records, suffix)
        return name

    def remove(self, name):
        (self.warehouse.landing / name).unlink()
        return self.files[name.split("/")[0]].pop(name)[0]

    def pick(self, rng, folder="inference_events"):
        names = sorted(self.files[folder])
        return rng.choice(names) if names else None

    # Arrivals

    def send(self, rng, days_ago=0, count=60, **fields):
        """A file of a day's events, in order or not."""
        self.count += 1
        day = (self.now - timedelta(days=days_ago)).strftime("%Y-%m-%d")
        records = traffic(rng, day, count, f"{self.count}-", **fields)
        self.events += records
        self.write("inference_events", records, rng.choice([".jsonl", ".jsonl.gz", ".parquet"]))

    def send_late(self, rng):
        self.send(rng, days_ago=rng.randint(1, 5), count=20)

    def send_to_the_baseline(self, rng):
        self.send(rng, days_ago=(self.now - FIRST_DAY).days, count=25)

    def send_weeks_late(self, rng):
        self.send(rng, days_ago=rng.randint(20, 40), count=15)

    def send_another_version(self, rng):
        self.send(rng, count=50, model_version="v2", role=rng.choice(["live", "shadow"]))

    def shadow_some(self, rng):
        """A shadow answers some of the requests, a few of them after midnight."""
        if self.events:
            self.write(
                "inference_events",
                shadows_of(rng, rng.sample(self.events, min(40, len(self.events)))),
            )

    def send_new_values(self, rng):
        """A category and a slice value that were never seen."""
        self.count += 1
        records = traffic(rng, self.now.strftime("%Y-%m-%d"), 30, f"{self.count}-")
        for record in records:
            record["features"]["plan"] = f"plan-{rng.randint(1, 3)}"
            record["attributes"]["country"] = "neuland"
        self.events += records
        self.write("inference_events", records)

    def send_before_the_future(self, rng):
        """Events whose time has not come."""
        self.send(rng, days_ago=-rng.randint(1, 3), count=10)

    def send_broken_lines(self, rng):
        good = traffic(rng, self.now.strftime("%Y-%m-%d"), 5, f"broken{self.count}-")
        bad = [
            "not json", "{}", "[1]", '{"request_id": 5}',
            event("x", status=700), event("y", latency_ms=-1), event("z", score=2),
            event("w", features="none"), event("v", features={"age": "old", "plan": {"a": 1}}),
        ]  # fmt: skip
        lines = good + rng.sample(bad, rng.randint(1, len(bad)))
        rng.shuffle(lines)
        self.write("inference_events", lines)

    def send_nothing(self, rng):
        """An empty file, plain or packed."""
        self.write(rng.choice(sorted(self.files)), [], rng.choice([".jsonl", ".jsonl.gz"]))

    def repeat_events(self, rng):
        """A retry sends some events again; some say they are earlier and win."""
        if not self.events:
            return
        again = [copy.deepcopy(record) for record in rng.choices(self.events, k=20)]
        for record in again:
            moved = datetime.fromisoformat(record["ts"][:-1]) + timedelta(
                hours=rng.choice([-30, -1, 0, 0, 1, 30])
            )
            record["ts"] = moved.isoformat() + "Z"
            record["latency_ms"] = rng.choice([record["latency_ms"], rng.uniform(1, 9)])
        self.write("inference_events", again)

    # Labels

    def label_some(self, rng):
        if self.events:
            known = rng.choices(self.events, k=min(60, len(self.events)))
            self.write("labels", labels_of(rng, known, 40), rng.choice([".jsonl", ".jsonl.gz"]))

    def label_twice(self, rng):
        """Two corrections of the same labels."""
        if self.events:
            known = rng.choices(self.events, k=15)
            self.write("labels", labels_of(rng, known, 30) + labels_of(rng, known, 60))

    def label_too_early(self, rng):
        """Labels of requests that are still to come in the next file but one."""
        ahead = traffic(rng, self.now.strftime("%Y-%m-%d"), 20, f"{self.count + 2}-")
        self.write("labels", labels_of(rng, ahead, 2))

    # What happens to files

    def rename(self, rng):
        name = self.pick(rng)
        if name:
            records, suffix = self.files["inference_events"][name]
            self.remove(name)
            self.write("inference_events", records, suffix)

    def repeat_file(self, rng):
        name = self.pick(rng, rng.choice(sorted(self.files)))
        if name:
            folder = name.split("/")[0]
            self.write(folder, *self.files[folder][name])

    def split(self, rng):
        name = self.pick(rng)
        if name and self.files["inference_events"][name][1] != ".parquet":
            records = self.remove(name)
            cut = rng.randint(0, len(records))
            self.write("inference_events", records[:cut])
            self.write("inference_events", records[cut:], ".jsonl.gz")

    def merge(self, rng):
        plain = [name for name, (_, suffix) in sorted(self.files["inference_events"].items())
                 if suffix != ".parquet"]  # fmt: skip
        if len(plain) > 1:
            first, second = rng.sample(plain, 2)
            self.write("inference_events", self.remove(first) + self.remove(second))

    def grow(self, rng):
        plain = [name for name, (_, suffix) in sorted(self.files["inference_events"].items())
                 if suffix == ".jsonl"]  # fmt: skip
        if plain:
            name = rng.choice(plain)
            self.count += 1
            more = traffic(rng, self.now.strftime("%Y-%m-%d"), 10, f"{self.count}-")
            records = self.files["inference_events"][name][0] + more
            self.events += more
            self.warehouse.write(name, records)
            self.files["inference_events"][name] = (records, ".jsonl")

    def shrink(self, rng):
        plain = [name for name, (_, suffix) in sorted(self.files["inference_events"].items())
                 if suffix == ".jsonl"]  # fmt: skip
        if plain:
            name = rng.choice(plain)
            records = self.files["inference_events"][name][0]
            records = records[: rng.randint(0, len(records))]
            self.warehouse.write(name, records)
            self.files["inference_events"][name] = (records, ".jsonl")

    def tear(self, rng):
        """The last line of a file is still being written; a later `grow` may end it."""
        plain = [name for name, (_, suffix) in sorted(self.files["inference_events"].items())
                 if suffix == ".jsonl"]  # fmt: skip
        if plain:
            path = self.warehouse.landing / rng.choice(plain)
            path.write_text(path.read_text() + '{"request_id": "torn", "mod')

    def cut_off(self, rng):
        """A packed file is cut off in the middle."""
        packed = [name for name, (_, suffix) in sorted(self.files["inference_events"].items())
                  if suffix == ".jsonl.gz"]  # fmt: skip
        if packed:
            path = self.warehouse.landing / rng.choice(packed)
            path.write_bytes(path.read_bytes()[: rng.randint(0, path.stat().st_size)])

    def vanish(self, rng):
        name = self.pick(rng, rng.choice(sorted(self.files)))
        if name:
            self.remove(name)

    # Changes of the configuration

    def other_slices(self, rng):
        self.model()["slices"] = rng.choice(
            [["plan", "country"], ["plan"], ["plan", {"name": "age", "breaks": [30, 60]}]]
        )

    def other_features(self, rng):
        more = [{"name": "country", "type": "categorical"}]
        self.model()["features"] = MODEL["features"] + rng.choice([[], more])

    def other_threshold(self, rng):
        self.model()["decision_threshold"] = rng.choice([0.3, 0.5, 0.7])
        self.model()["latency_threshold_ms"] = rng.choice([None, 7.5, 20, 55])

    def other_targets(self, rng):
        set_targets(
            self.warehouse,
            rng.sample(TARGETS, rng.randint(0, len(TARGETS))),
            rng.sample(RULES, rng.randint(0, len(RULES))),
        )

    def other_settings(self, rng):
        self.warehouse.vars |= {
            "min_samples": rng.choice([10, 20]),
            "calibration_bins": rng.choice([5, 10]),
            "drift_windows_days": rng.choice([[1], [1, 2]]),
        }

    def model(self):
        return self.warehouse.vars["monitored_models"][0]


ARRIVALS = ["send", "send_late", "send_another_version", "label_some", "repeat_events"]
ACTIONS = [
    *ARRIVALS,
    "send_to_the_baseline", "send_weeks_late", "send_new_values", "send_before_the_future",
    "send_broken_lines", "send_nothing", "shadow_some", "label_twice", "label_too_early", "rename",
    "repeat_file", "split", "merge", "grow", "shrink", "tear", "cut_off", "vanish",
    "other_slices", "other_features", "other_threshold", "other_targets", "other_settings",
]  # fmt: skip


def prepare(folder: Path) -> Landing:
    """An empty warehouse with targets, and its landing folder."""
    warehouse = Warehouse(folder, copy.deepcopy(VARS))
    set_targets(warehouse)
    return Landing(warehouse)


def advance(landing, actions, hours):
    """Do the actions of a step; return the moment of its build."""
    for action, seed in actions:
        landing.act(action, seed)
    landing.now += timedelta(hours=hours)
    landing.warehouse.vars["as_of"] = landing.now.isoformat() + "Z"
