"""What is given to make on its command line reaches a program as text, and no shell."""

import os
import re
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
#: Stands in for all programs of the environment: notes what it is called with.
PROGRAM = """#!/bin/sh
for argument in "$@"; do printf '%s\\0' "$argument"; done >> "$NOTED"
"""
HOSTILE = [
    "x'; touch hit; '",
    '"; touch hit; "',
    "$(touch hit)",
    "`touch hit`",
    "$(shell touch hit)",
    "$$(touch hit)",
    "${HOME}",
    "; touch hit",
    "&& touch hit #",
    "| touch hit",
    "x\ntouch hit",
    "\\'; touch hit",
    "--help",
    "../../etc/passwd",
    "*",
    "{{ 1 }} {% do x %}",
    "\u202e\u2028<script>",
    "x" * 10_000,
]
#: The option that each variable of a target becomes, with the value in the same argument.
OPTIONS = {
    "replay": {"AT": "--at"},
    "stream": {"INCIDENT": "--incident", "SPEED": "--speed", "MINUTES": "--minutes",
               "MULTIPLY": "--multiply"},
    "report": {"DATABASE": "--database", "FOLDER": "--folder"},
    "export": {"DATABASE": "--database", "FOLDER": "--folder"},
    "notify": {"GIVE_UP_AFTER": "--give-up-after"},
    "rca": {"ALERT": "--alert", "METRIC": "--metric", "MODEL": "--model",
            "VERSION": "--model-version", "ROLE": "--role", "FROM": "--from", "TO": "--to",
            "AGAINST_FROM": "--against-from", "AGAINST_TO": "--against-to",
            "DATABASE": "--database"},
    "backtest": {"RULES": "--rules", "TARGETS": "--targets", "INCIDENTS": "--incidents",
                 "FROM": "--from", "TO": "--to", "JSON": "--json", "CSV": "--csv"},
    "test-deep": {"SCHEDULES": "--schedules", "KILLS": "--kills"},
    "bench": {"EVENTS": "--events"},
    "simulate": {"WHAT": "", "REPEATS": "--repeats"},
}  # fmt: skip
#: Those that stand for several arguments: split at spaces, and nothing else is done to them.
SPLIT = {"backtest": "OPTIONS", "bench": "PARTS", "export": "TABLES"}
SWITCHES = {"notify": ("DRY_RUN", "--dry-run"), "mutate": ("ANEW", "--anew")}


@pytest.fixture
def make(tmp_path):
    """Run a target with programs that only note; returns what they were called with."""
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "pytest"):
        (programs / name).write_text(PROGRAM)
        (programs / name).chmod(0o755)
    (tmp_path / "venv" / ".installed").touch()
    for path in PROJECT.glob("requirements*.txt"):
        (tmp_path / path.name).touch()
        os.utime(tmp_path / path.name, (0, 0))

    def run(target, **values):
        noted = tmp_path / "noted"
        noted.unlink(missing_ok=True)
        subprocess.run(
            ["make", "-f", str(PROJECT / "Makefile"), target, f"VENV={tmp_path / 'venv'}",
             *(f"{name}={value}" for name, value in values.items())],
            cwd=tmp_path, check=True, capture_output=True, env=os.environ | {"NOTED": str(noted)},
        )  # fmt: skip
        assert not (tmp_path / "hit").exists(), (target, values)
        return noted.read_text().split("\0")[:-1]

    return run


def test_every_variable_is_tried():
    """All that the Makefile takes from outside is in the lists above."""
    text = (PROJECT / "Makefile").read_text()
    given = set(re.search(r"GIVEN := (.*?)\n\$", text, re.DOTALL)[1].replace("\\", "").split())
    tried = {name for options in OPTIONS.values() for name in options}
    tried |= set(SPLIT.values()) | {name for name, _ in SWITCHES.values()}
    assert given == tried
    recipes = "\n".join(line for line in text.splitlines() if line.startswith("\t"))
    own = {
        "BIN",
        "VENV",
        "SCHEDULING",
        "LANDING",
        "PYTHON",
        "LOCK",
        "SIDE_BY_SIDE",
        "MAKEFILE_LIST",
    }
    assert set(re.findall(r"(?<!\$)\$\((?:or \$\(|if \$\()?(\w+)", recipes)) <= own


@pytest.mark.parametrize("target", OPTIONS)
def test_values_arrive_as_they_are(make, target):
    for text in HOSTILE:
        arguments = make(target, **dict.fromkeys(OPTIONS[target], text))
        for name, option in OPTIONS[target].items():
            assert (f"{option}={text}" if option else text) in arguments, (name, text)


@pytest.mark.parametrize(("target", "name"), SPLIT.items())
def test_several_arguments_are_split_at_spaces(make, target, name):
    for text in HOSTILE:
        words = re.split(r"[ \t\n]+", text.strip(" \t\n"))
        assert make(target, **{name: text})[-len(words) :] == words


@pytest.mark.parametrize(("target", "switch"), SWITCHES.items())
def test_switches(make, target, switch):
    name, option = switch
    for text in HOSTILE:
        assert option in make(target, **{name: text})
    assert option not in make(target)


def test_defaults(make):
    assert make("rca") == ["-m", "rca"]
    assert make("report") == ["-m", "report"]
    assert make("backtest") == ["-m", "backtesting"]
    assert make("simulate") == ["-m", "simulations", "drift"]
    assert make("bench") == ["-m", "benchmarks", "--events=1000000"]
    assert make("stream") == [
        "-m", "demo.stream", "--incident=latency-may", "--speed=20", "--minutes=3", "--multiply=20"
    ]  # fmt: skip
    assert make("test-deep")[-2:] == ["--schedules=40", "--kills=100"]
