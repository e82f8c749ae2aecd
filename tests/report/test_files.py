"""The files that pages load when asked: what is in them is what the tables have."""

import json
import re
from datetime import UTC, datetime

import pytest

from report.site import Json, as_json


def content_of(path):
    """Give what a file hands over."""
    found = re.fullmatch(r'report\.receive\(".*?", (.*)\);\n', path.read_text(), re.DOTALL)
    return json.loads(found[1])


def moment(minute):
    return datetime.fromtimestamp(60 * minute, UTC).replace(tzinfo=None)


@pytest.mark.parametrize("part", ["hours", "minutes"])
def test_hours_and_minutes_are_those_of_the_tables(site, warehouse, part):
    names = ("requests", "error_rate", "p50", "p95", "p99")
    found = [
        (line["version"], line["role"], moment(minute), *values)
        for path in site.glob("models/*/service/*.js")
        for line in content_of(path)[part]
        for minute, *values in zip(line["minute"], *(line[name] for name in names), strict=True)
    ]
    tables = {
        "hours": "service_levels where slice_key = 'all' and window_size = '1h'",
        "minutes": "service_levels_minute where request_count > 0",
    }
    expected = warehouse.query(f"""
        select model_version, role, window_start, request_count, error_rate, latency_p50_ms,
            latency_p95_ms, latency_p99_ms
        from ml_monitoring.{tables[part]}
    """)
    assert len(found) == len(expected) > 500
    for one, other in zip(sorted(found, key=key), sorted(expected, key=key), strict=True):
        assert one[:4] == other[:4]
        assert one[4:] == pytest.approx(other[4:], rel=0, abs=6e-3), one[:3]


def key(row):
    return row[:3]


@pytest.mark.parametrize("comparison", ["baseline", "previous"])
def test_cells_are_those_of_the_table(site, warehouse, comparison):
    (page,) = site.glob("models/*/drift.html")
    data = json.loads(re.search(r'id="data"[^>]*>(.*?)</script>', page.read_text(), re.DOTALL)[1])
    found = {}
    for number, (feature, _) in enumerate(data["features"]):
        path = site / data["folder"] / f"1d-{comparison}" / f"{number}.js"
        for group in content_of(path)["cells"] if path.exists() else []:
            for n, (version, day) in enumerate(zip(group["versions"], group["days"], strict=True)):
                before = group["baseline"] or group["before"][n]
                found[feature, version, day] = list(zip(
                    *zip(*group["edges"], strict=True), group["categories"], before,
                    group["current"][n], strict=True,
                ))  # fmt: skip
    expected = {}
    for feature, version, day, *cell in warehouse.query(f"""
        select
            feature, model_version || ' ' || role, datediff('day', date '1970-01-01', window_start),
            bin_lower, bin_upper, category, baseline_count, current_count
        from ml_monitoring.feature_distributions
        where slice_key = 'all' and window_size = '1d' and comparison = '{comparison}'
        order by bin
    """):
        expected.setdefault((feature, version, day), []).append(tuple(cell))
    assert found == expected and len(found) > 50


def test_json_that_is_there_already_is_written_as_it_is():
    content = {"name": "<a>", "list": [{"at": datetime(2024, 1, 2)}], "more": {"x": [1, None]}}
    ready = content | {"list": Json('[{"at":"2024-01-02T00:00:00Z"}]'), "<": Json('"</script>"')}
    text = as_json(ready)
    assert "<" not in text and ">" not in text
    assert json.loads(text) == json.loads(as_json(content)) | {"<": "</script>"}
