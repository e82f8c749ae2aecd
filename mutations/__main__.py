"""Change the pure functions line by line and run their tests: ``python -m mutations``.

mutmut works on a copy, in an environment of its own, and goes on where it was stopped; ``--anew``
forgets what it knows.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks.measure import say, table

PROJECT = Path(__file__).parents[1]
WORK = PROJECT / "data" / "mutations"
# The pure functions. What moves data between tables and them has its tests in whole builds.
MODULES = (
    "calibration",
    "drift",
    "estimation",
    "fairness",
    "integrity",
    "intervals",
    "label_views",
    "latency",
    "multiclass",
    "performance",
    "recalibration",
    "regression",
    "root_causes",
    "score_bins",
    "slice_changes",
    "windows",
)
LEAST_KILLED = 0.9
SHOW = """
import sys
from mutmut.mutation.diff_apply import find_mutant, get_diff_for_mutant
for mutant in sys.stdin.read().split():
    print("#", mutant)
    print(get_diff_for_mutant(mutant, path=find_mutant(mutant).path))
"""
CONFIG = """
[project]
name = "mutations"
version = "0"

[tool.pytest.ini_options]
pythonpath = ["src", "."]
testpaths = ["tests/python"]

[tool.mutmut]
paths_to_mutate = ["src/"]
tests_dir = ["tests/"]
do_not_mutate = ["src/*_tables.py", "src/service_windows.py"]
"""


def environment() -> Path:
    """Install what the tests need, and mutmut; give the folder of its programs."""
    programs = WORK / "environment" / "bin"
    stamp = WORK / "environment" / "installed"
    if not stamp.exists():
        say("Installing mutmut beside what the tests need ...")
        subprocess.run([sys.executable, "-m", "venv", str(programs.parent)], check=True)
        locks = ["requirements.txt", "requirements-dev.txt", "mutations/requirements.txt"]
        files = [part for lock in locks for part in ("-r", str(PROJECT / lock))]
        command = [str(programs / "pip"), "install", "--quiet", "--require-hashes", *files]
        subprocess.run(command, check=True)
        stamp.touch()
    return programs


def lay_out() -> Path:
    """Copy the modules and their tests to where mutmut finds both."""
    copy = WORK / "copy"
    for folder in (copy / "src", copy / "tests" / "python"):
        folder.mkdir(parents=True, exist_ok=True)
    sources = [*MODULES, "service_windows", "arrow_tables"]
    sources += [path.stem for path in (PROJECT / "python_udfs").glob("*_tables.py")]
    for name in sources:
        shutil.copy(PROJECT / "python_udfs" / f"{name}.py", copy / "src")
    for name in ("__init__.py", "conftest.py", "documents.py", "slice_oracle.py"):
        shutil.copy(PROJECT / "tests" / name, copy / "tests")
    for name in MODULES:
        test = PROJECT / "tests" / "python" / f"test_{name}.py"
        # The windows of service levels are tested with their latencies.
        if test.exists():
            shutil.copy(test, copy / "tests" / "python")
    (copy / "pyproject.toml").write_text(CONFIG)
    return copy


def results(programs: Path, copy: Path) -> dict[str, str]:
    """Read what became of each mutant."""
    command = [str(programs / "mutmut"), "results", "--all", "true"]
    output = subprocess.run(command, cwd=copy, check=True, capture_output=True, text=True).stdout
    return dict(re.findall(r"^\s*(\S+): (.+)$", output, flags=re.MULTILINE))


def changes_of(mutants: list[str], programs: Path, copy: Path) -> str:
    """Show what some mutants changed. All in one process: ``mutmut show`` takes one at a time."""
    command = [str(programs / "python"), "-c", SHOW]
    shown = subprocess.run(
        command, cwd=copy, input="\n".join(mutants), check=True, capture_output=True, text=True
    ).stdout
    return "\n".join(re.findall(r"^(?:# .*|[-+] .*)$", shown, flags=re.MULTILINE)) + "\n"


def main() -> int:
    """Run, and print the score of each module and the mutants that survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--anew", action="store_true", help="forget the last run")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    if options.anew:
        shutil.rmtree(WORK / "copy", ignore_errors=True)
    programs, copy = environment(), lay_out()
    run = [str(programs / "mutmut"), "run", "--max-children", str(options.processes)]
    subprocess.run(run, cwd=copy, check=True)
    found = results(programs, copy)
    by_module: dict[str, Counter] = {}
    for mutant, outcome in found.items():
        by_module.setdefault(mutant.split(".")[0], Counter())[outcome] += 1
    rows = []
    for module, outcomes in sorted(by_module.items()):
        # What runs for ever, or ends the process, has been noticed.
        missed = outcomes["survived"] + outcomes["no tests"]
        total = outcomes.total()
        rows.append([module, total, missed, f"{1 - missed / total:.1%}"])
    missed, total = (sum(row[column] for row in rows) for column in (2, 1))
    rows.append(["all", total, missed, f"{1 - missed / total:.1%}"])
    say(table(["module", "mutants", "not killed", "killed"], rows))
    survived = [mutant for mutant, outcome in found.items() if outcome in ("survived", "no tests")]
    survivors = WORK / "survivors.diff"
    survivors.write_text(changes_of(survived, programs, copy))
    say(f"The survivors are in {survivors.relative_to(PROJECT)}.")
    return 0 if missed <= (1 - LEAST_KILLED) * total else 1


if __name__ == "__main__":
    sys.exit(main())
