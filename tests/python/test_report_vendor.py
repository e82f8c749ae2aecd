"""What is in the vendor folder is what was released, byte for byte."""

import hashlib
from pathlib import Path

VENDOR = Path(__file__).parents[2] / "report/assets/vendor"


def test_vendored_scripts_are_unchanged():
    sums = dict(reversed(line.split()) for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    scripts = {path.name: path.read_bytes() for path in VENDOR.glob("*.js")}
    assert scripts.keys() == sums.keys()
    for name, content in scripts.items():
        assert hashlib.sha256(content).hexdigest() == sums[name], name
