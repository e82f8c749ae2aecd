"""``python -m supply_chain sbom`` and ``python -m supply_chain audit``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from supply_chain.sbom import LOCKS, PROJECT, Package, bill_of_materials, read_locks

SOME_ARE_UNSAFE, NOT_AUDITED = 1, 2
HOW_TO_INSTALL = (
    "pip-audit is not installed here. Type: .venv/bin/pip install pip-audit, or run it elsewhere"
    " on the lock files (requirements*.txt)."
)


class NotAuditedError(Exception):
    """Nothing was found out; the message says why."""


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="supply_chain", description=__doc__)
    parser.add_argument("what", choices=["sbom", "audit"])
    parser.add_argument("--output", type=Path, default=PROJECT / "sbom.json", help="of sbom")
    options = parser.parse_args(arguments)
    packages = read_locks([PROJECT / name for name in LOCKS])
    if options.what == "audit":
        return audit(packages)
    text = json.dumps(bill_of_materials(packages), indent=2, sort_keys=True) + "\n"
    options.output.write_text(text, encoding="utf-8")
    print(f"{len(packages)} packages of {', '.join(LOCKS)} are in {options.output}.")
    return 0


def audit(packages: list[Package]) -> int:
    """Look each locked package up in the database of known vulnerabilities.

    A package that could not be looked up is no package without vulnerabilities: that is an error
    of its own, and never passes for a good result.

    Parameters
    ----------
    packages : list of Package

    Returns
    -------
    int
        0 where nothing is known against any, 1 where something is, 2 where that is not known.
    """
    looked_up, unsafe = set(), []
    waiting = packages
    while waiting:
        # A version for one platform and another for the rest: pip-audit takes one at a time.
        part = list({package.name: package for package in waiting}.values())
        waiting = [package for package in waiting if package not in part]
        try:
            found = ask_pip_audit(part)
        except NotAuditedError as error:
            return not_audited(str(error))
        looked_up |= {
            (entry["name"], entry["version"]) for entry in found if "skip_reason" not in entry
        }
        unsafe += [entry for entry in found if entry.get("vulns")]
    for entry in unsafe:
        for vulnerability in entry["vulns"]:
            cure = ", ".join(vulnerability.get("fix_versions") or ["no version yet"])
            print(f"{entry['name']} {entry['version']}: {vulnerability['id']}; mended in {cure}")
    missing = [pack.name for pack in packages if (pack.name, pack.version) not in looked_up]
    if missing:
        not_audited(
            f"{len(missing)} of {len(packages)} packages were not found in the database, such as"
            f" {', '.join(missing[:3])}. A mirror may hold packages without what is known of them."
        )
    if unsafe:
        return SOME_ARE_UNSAFE
    if missing:
        return NOT_AUDITED
    print(f"Nothing is known against any of the {len(packages)} locked packages.")
    return 0


def ask_pip_audit(packages: list[Package]) -> list[dict[str, Any]]:
    """Give what pip-audit says of some packages, one version of each."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as pins:
        pins.writelines(f"{package.name}=={package.version}\n" for package in packages)
        pins.flush()
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", "--requirement", pins.name, "--no-deps",
             "--disable-pip", "--format", "json", "--progress-spinner", "off"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if "No module named pip_audit" in done.stderr:
        raise NotAuditedError(HOW_TO_INSTALL)
    try:
        return json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError) as error:
        reason = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise NotAuditedError(f"pip-audit had no answer: {reason[:300]}") from error


def not_audited(reason: str) -> int:
    """Say why nothing was found out."""
    print(
        f"Not audited. {reason}\nThis says nothing about the packages. Try again where the public"
        " package index can be reached.",
        file=sys.stderr,
    )
    return NOT_AUDITED


if __name__ == "__main__":
    sys.exit(main())
