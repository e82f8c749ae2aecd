"""Every status that a table says it can have occurs, in a build of nasty days."""

import random
from datetime import datetime, timedelta

import pytest
import yaml

from tests.integration.warehouse import PROJECT, Warehouse, event, label

START = datetime(2024, 1, 1)
FEATURES = [{"name": "age", "type": "numerical"}, {"name": "plan", "type": "categorical"}]
BASELINE = {"start": "2024-01-01", "end": "2024-01-08"}
MODELS = [
    {
        "name": "churn",
        "task": "binary_classification",
        "baseline": BASELINE,
        "features": FEATURES,
        "slices": ["plan"],
        "protected_attributes": ["plan"],
    },
    {"name": "plain", "task": "binary_classification", "features": [], "baseline": BASELINE},
    {
        "name": "later",
        "task": "binary_classification",
        "features": FEATURES,
        "baseline": {"start": "2023-01-01", "end": "2023-02-01"},
    },
    {
        "name": "price",
        "task": "regression",
        "features": FEATURES,
        "slices": ["plan"],
        "protected_attributes": ["plan"],
    },
]


class Traffic:
    """Events with their labels, day by day."""

    def __init__(self) -> None:
        self.rng = random.Random(1)
        self.events: list[dict] = []
        self.labels: list[dict] = []

    def day(self, number: int, count: int = 60, **options) -> None:
        """Add a day. ``label`` and ``score`` are functions; ``labelled`` is a share."""
        fields = {"model": "churn"} | options.pop("fields", {})
        score_of = options.get("score", lambda: self.rng.random())
        label_of = options.get("label", lambda score: int(self.rng.random() < score))
        for place in range(count):
            request_id = f"{fields}-{number}-{place}"
            ts = START + timedelta(days=number, seconds=place * 60)
            score = score_of()
            features = {"age": self.rng.gauss(0, 1), "plan": self.rng.choice(["a", "b"])}
            self.events.append(
                event(request_id, ts=ts.isoformat() + "Z", score=score, features=features, **fields)
            )
            if place < count * options.get("labelled", 1):
                at = (ts + timedelta(hours=1)).isoformat() + "Z"
                found = label(request_id, label=label_of(score), labeled_at=at)
                self.labels.append(found | {"model": fields["model"]})


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory) -> Warehouse:
    traffic = Traffic()
    for number in range(14):
        traffic.day(number)
        traffic.day(number, 30, fields={"model": "plain"})
    traffic.day(14, label=lambda _: 1)
    traffic.day(15, label=lambda score: int(score > 0.5))  # a line cannot be fitted
    traffic.day(16, 8)
    traffic.day(17, labelled=0)
    traffic.day(18, labelled=0.2)
    for number in range(19, 31):
        traffic.day(number, 30)
        # Versions by what a recalibration of them lacks.
        version = {"model_version": "separable"}
        traffic.day(number, 30, fields=version, label=lambda score: int(score > 0.5))
        traffic.day(number, 30, fields={"model_version": "one class"}, label=lambda _: 1)
        traffic.day(number, 1, fields={"model_version": "rare"})
        traffic.day(number, 30, fields={"model": "later"})
        if number < 22:
            traffic.day(number, 30, fields={"model_version": "silent"})
        if number > 24:
            traffic.day(number, 30, fields={"model_version": "new", "role": "shadow"})
    for number in range(20, 28):
        huge = {"score": lambda: 1e308, "label": lambda _: -1e308}
        options = huge if number == 24 else {"label": lambda score: score + 1}
        traffic.day(number, 40 if number != 25 else 5, fields={"model": "price"}, **options)
    warehouse = Warehouse(
        tmp_path_factory.mktemp("statuses"),
        {
            "monitored_models": MODELS,
            "min_samples": 20,
            "min_samples_per_class": 5,
            "performance_windows_days": [1, 28],
            "drift_windows_days": [1, 7],
            "version_baseline_days": 7,
            "as_of": "2024-02-01T00:00:00Z",
        },
    )
    warehouse.write("inference_events/a.jsonl.gz", traffic.events)
    warehouse.write("labels/a.jsonl.gz", traffic.labels)
    # With the project's own tests: no NaN, no infinity, a reason for each null.
    build = warehouse.build()
    assert build.exit_code == 0, build.end
    return warehouse


def documented(table: str, column: str) -> set[str]:
    """Give the statuses that the description of a table allows."""
    for path in (PROJECT / "models" / "marts").rglob("*.yml"):
        for model in yaml.safe_load(path.read_text()).get("models", []):
            for found in model.get("columns", []) if model["name"] == table else []:
                if found["name"] == column:
                    tests = [test for test in found["data_tests"] if "accepted_values" in test]
                    return set(tests[0]["accepted_values"]["arguments"]["values"])
    raise AssertionError(f"{table}.{column} names no accepted values")


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("model_performance", "data_status"),
        ("calibration", "data_status"),
        ("calibration", "line_status"),
        ("group_metrics", "data_status"),
        ("fairness", "data_status"),
        ("label_coverage", "data_status"),
        ("feature_drift", "data_status"),
        ("multivariate_drift", "data_status"),
        ("recalibration_plan", "data_status"),
        ("monitoring_metrics", "data_status"),
    ],
)
def test_every_status_occurs(warehouse, table, column):
    found = warehouse.query(f"select distinct {column} from ml_monitoring.{table}")
    assert {status for (status,) in found} == documented(table, column)
