"""The exposure of the report names the tables that its pages read."""

import re
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[2]


def test_the_exposure_names_what_the_pages_read():
    read = {
        name
        for path in (PROJECT / "report").rglob("*.py")
        for name in re.findall(r"\{public\}\}?\.(\w+)", path.read_text())
    }
    assert len(read) > 20
    (report,) = yaml.safe_load((PROJECT / "models/marts/_exposures.yml").read_text())["exposures"]
    assert sorted(report["depends_on"]) == sorted(f"ref('{name}')" for name in read)
