"""A software bill of materials in the form of CycloneDX, made from the lock files."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
#: What runs needs the first; the others are for the demo and for work on the project.
LOCKS = ("requirements.txt", "requirements-demo.txt", "requirements-dev.txt")
PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(\[[^]]*\])?==([^\s;\\]+)\s*(?:;\s*([^\\]*))?")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Package:
    """A locked package.

    Attributes
    ----------
    name, version : str
    marker : str
        Where it is installed, such as ``sys_platform == 'win32'``; empty for everywhere.
    hashes : tuple of str
        SHA-256 of the files that may be installed.
    locks : tuple of str
        The lock files that name it.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    locks: tuple[str, ...]


def read_locks(paths: Iterable[Path]) -> list[Package]:
    """Read what lock files pin, each version of a package once, by name.

    Raises
    ------
    ValueError
        If a line is neither a pin with hashes nor a comment: it would be missing from the bill.
    """
    found: dict[tuple[str, str], Package] = {}
    for path in paths:
        text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
        for line in text.splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            pin, hashes = PIN.match(line), tuple(sorted(HASH.findall(line)))
            if pin is None or not hashes:
                raise ValueError(f"{path.name} has a line that is no pin with hashes: {line[:80]}")
            name = re.sub(r"[-_.]+", "-", pin[1]).lower()
            marker = (pin[4] or "").partition("--hash")[0].strip()
            before = found.get((name, pin[3]))
            locks = (*(before.locks if before else ()), path.name)
            found[name, pin[3]] = Package(name, pin[3], marker, hashes, locks)
    return [found[key] for key in sorted(found)]


def bill_of_materials(packages: list[Package]) -> dict[str, Any]:
    """Give the bill as JSON: the same for the same lock files, without a time or a number.

    CycloneDX 1.6. Hashes are those of the files that may be installed, of which there is one for
    each platform, so they are properties and not the hash of the component.
    """
    with (PROJECT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": project["name"],
                "name": project["name"],
                "version": project["version"],
                "description": project["description"],
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [as_component(package) for package in packages],
        "dependencies": [
            {"ref": project["name"], "dependsOn": [purl(package) for package in packages]},
        ],
    }


def as_component(package: Package) -> dict[str, Any]:
    """Give a package as a component; what only work on the project needs is `excluded`."""
    properties = [("lock", name) for name in package.locks]
    properties += [("marker", package.marker)] if package.marker else []
    properties += [("sha256", digest) for digest in package.hashes]
    return {
        "type": "library",
        "bom-ref": purl(package),
        "name": package.name,
        "version": package.version,
        "purl": purl(package),
        "scope": "required" if LOCKS[0] in package.locks else "excluded",
        "properties": [
            {"name": f"ml-monitoring:{name}", "value": value} for name, value in properties
        ],
    }


def purl(package: Package) -> str:
    """Name a package as a package URL does."""
    return f"pkg:pypi/{package.name}@{package.version.replace('+', '%2B')}"
