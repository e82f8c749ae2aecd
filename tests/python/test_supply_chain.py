import json
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from supply_chain import __main__ as command
from supply_chain.sbom import LOCKS, PROJECT, Package, read_locks

#: Read in another way than sbom.py does: whatever begins a line of a lock file.
PINNED = {
    tuple(line.split()[0].split("=="))
    for name in LOCKS
    for line in (PROJECT / name).read_text().splitlines()
    if re.match(r"[A-Za-z]", line)
}


@pytest.fixture(scope="module")
def bill(tmp_path_factory):
    path = tmp_path_factory.mktemp("sbom") / "sbom.json"
    assert command.main(["sbom", "--output", str(path)]) == 0
    return path.read_text()


def test_every_locked_package_is_in_the_bill_with_its_version(bill):
    components = json.loads(bill)["components"]
    listed = {(part["name"], part["version"]) for part in components}
    assert listed == {(re.sub(r"\[.*|[-_.]+$", "", name), version) for name, version in PINNED}
    assert len(components) == len(listed) > 100
    for part in components:
        assert part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}"
        locks = {entry["value"] for entry in part["properties"] if entry["name"].endswith("lock")}
        for lock in LOCKS:
            text = (PROJECT / lock).read_text()
            # Extras stand between the two.
            pin = rf"^{re.escape(part['name'])}(\[.*\])?=={re.escape(part['version'])}[ \\]"
            assert (lock in locks) == bool(re.search(pin, text, re.MULTILINE)), (part, lock)
        assert (part["scope"] == "required") == ("requirements.txt" in locks)


def test_every_hash_is_in_the_bill(bill):
    locked = set(re.findall(r"sha256:([0-9a-f]{64})", "".join(map(read, LOCKS))))
    listed = {
        entry["value"]
        for part in json.loads(bill)["components"]
        for entry in part["properties"]
        if entry["name"].endswith("sha256")
    }
    assert listed == locked and len(locked) > 1000


def read(name):
    return (PROJECT / name).read_text()


def test_the_bill_is_the_same_each_time_and_names_no_place(bill, tmp_path):
    again = tmp_path / "again.json"
    subprocess.run(
        [sys.executable, "-m", "supply_chain", "sbom", "--output", str(again)], cwd=PROJECT,
        check=True, capture_output=True, env={"PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert again.read_text() == bill
    assert re.findall(r"[a-z]+://[^\"]*", bill) == [
        "http://cyclonedx.org/schema/bom-1.6.schema.json"
    ]
    assert str(PROJECT) not in bill and "timestamp" not in bill


@pytest.mark.parametrize(
    "line", ["six", "six==1.0", "six @ https://example.org/six.whl", "-e ../six", "--hash=sha256:0"]
)
def test_a_lock_that_leaves_something_open_is_refused(tmp_path, line):
    path = tmp_path / "requirements.txt"
    path.write_text(f"{line}\n")
    with pytest.raises(ValueError, match="no pin with hashes"):
        read_locks([path])


PACKAGES = [
    Package("a", "1", "", ("0",), ("requirements.txt",)),
    Package("a", "2", "", ("0",), ("requirements.txt",)),
    Package("b", "1", "", ("0",), ("requirements.txt",)),
]


def answering(monkeypatch, known):
    """Put a pip-audit in place that knows of some packages."""
    asked = []

    def run(arguments, **_):
        with open(arguments[arguments.index("--requirement") + 1]) as file:  # noqa: PTH123
            pins = [line.strip().split("==") for line in file]
        assert len({name for name, _ in pins}) == len(pins)
        asked.extend(map(tuple, pins))
        found = [
            {"name": name, "version": version, "vulns": known[name, version]}
            if (name, version) in known
            else {"name": name, "skip_reason": "not found"}
            for name, version in pins
        ]
        return SimpleNamespace(stdout=json.dumps({"dependencies": found}), stderr="")

    monkeypatch.setattr(command.subprocess, "run", run)
    return asked


def test_audit_says_what_is_known(monkeypatch, capsys):
    nothing = {(pack.name, pack.version): [] for pack in PACKAGES}
    asked = answering(monkeypatch, nothing)
    assert command.audit(PACKAGES) == 0
    assert sorted(asked) == sorted(nothing)
    assert "any of the 3 locked packages" in capsys.readouterr().out
    bad = [{"id": "CVE-1", "fix_versions": ["3"]}]
    answering(monkeypatch, nothing | {("a", "1"): bad})
    assert command.audit(PACKAGES) == 1
    assert "a 1: CVE-1; mended in 3" in capsys.readouterr().out


def test_what_was_not_looked_up_never_passes(monkeypatch, capsys):
    answering(monkeypatch, {("a", "1"): [], ("b", "1"): []})
    assert command.audit(PACKAGES) == 2
    assert "1 of 3 packages were not found" in capsys.readouterr().err
    for stderr, said in (
        ("No module named pip_audit", "not installed"),
        ("long\nConnectionError: nobody", "pip-audit had no answer: ConnectionError: nobody"),
    ):
        answer = SimpleNamespace(stdout="", stderr=stderr)
        monkeypatch.setattr(command.subprocess, "run", lambda *_, answer=answer, **__: answer)
        assert command.audit(PACKAGES) == 2
        assert said in capsys.readouterr().err
