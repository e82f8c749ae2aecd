"""A project whose names are hostile, with everything that the report shows."""

import random
import subprocess
import sys
from datetime import datetime, timedelta

from tests.integration.warehouse import MODEL, PROJECT, Warehouse, event, label

START, END = datetime(2024, 1, 1), datetime(2024, 2, 1)
#: What comes from outside, and must show as text.
SCRIPT = "<script>window.hacked = 1</script>"
IMAGE = "\"'><img src=x onerror='window.hacked=2'>"
RIGHT_TO_LEFT = "\u202eشركة\u202c"
LONG = "x" * 10_000
HOSTILE = [SCRIPT, IMAGE, RIGHT_TO_LEFT, LONG]
PHONE = {"width": 390, "height": 844}
VERSION = f"v2 {SCRIPT}"
VARS = {
    "monitored_models": [MODEL | {"protected_attributes": ["country"]}],
    "as_of": f"{END:%F}",
    "min_samples": 20,
}


def write_traffic(warehouse: Warehouse) -> None:
    rng = random.Random(7)
    events, labels = [], []
    for number in range(31 * 80):
        ts = START + timedelta(days=number // 80, seconds=rng.randrange(86400))
        is_after = ts >= datetime(2024, 1, 20)
        truth = int(rng.random() < 0.4)
        common = {
            "ts": f"{ts.isoformat()}Z",
            "features": {
                "age": rng.randint(18, 80) + 40 * (ts.day in (26, 27)),
                "plan": rng.choice(["basic", *HOSTILE]),
                "is_new": rng.random() < 0.5,
            },
            "attributes": {"country": rng.choice(["de", SCRIPT])},
        }
        latency = rng.lognormvariate(3, 0.5) * (20 if ts.day == 15 else 1)
        score = min(max(0.3 + 0.3 * truth + rng.gauss(0, 0.2), 0), 1)
        version = VERSION if is_after else "v1"
        status = 500 if rng.random() < (0.5 if ts.day == 22 else 0.02) else 200
        live = {"model_version": version, "latency_ms": latency, "score": score, "status": status}
        events.append(event(f"r{number}", **common, **live))
        if datetime(2024, 1, 8) <= ts < datetime(2024, 1, 20):
            shadow = {"model_version": VERSION, "role": "shadow", "latency_ms": latency * 1.1}
            shadow["score"] = min(max(score + rng.gauss(0, 0.05), 0), 1)
            events.append(event(f"r{number}", **common, **shadow))
        at = f"{(ts + timedelta(hours=5)).isoformat()}Z"
        labels.append(label(f"r{number}", label=truth, labeled_at=at))
    warehouse.write("inference_events/a.jsonl.gz", [*events, "no json", {"request_id": SCRIPT}])
    warehouse.write("labels/a.jsonl.gz", labels)


def write_report(warehouse: Warehouse, folder) -> None:
    subprocess.run(
        [sys.executable, "-m", "report", "--quiet", "--database", str(warehouse.database),
         "--folder", str(folder)],
        cwd=PROJECT, check=True,
    )  # fmt: skip


def pages_of(site):
    return sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))


def open_page(page, site, path):
    page.goto(f"file://{site}/{path}")
    page.wait_for_load_state("load")
    page.wait_for_timeout(300)
