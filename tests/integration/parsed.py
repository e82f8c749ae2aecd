"""Share what dbt has parsed among warehouses with the same configuration.

Parsing takes dbt six seconds, and depends on the vars. Where the files are is no part of it, but
dbt parses anew also where only that is another.
"""

import json
import shutil
from pathlib import Path
from typing import Any

#: What dbt leaves in its target folder.
FILE = "partial_parse.msgpack"
#: Vars that say where something is, which no model asks for before it runs.
PLACES = {"landing_path"}

_found: dict[str, Path] = {}


def lend_parsed(target: Path, variables: dict[str, Any]) -> None:
    """Give a target folder what dbt has parsed for another warehouse with these vars."""
    mine = target / FILE
    other = _found.setdefault(text_of(variables), mine)
    if not mine.exists() and other.exists():
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(other, mine)


def ignore_places() -> None:
    """Let this process's dbt take what it parsed for other paths."""
    from dbt.artifacts.resources import FileHash
    from dbt.parser.manifest import ManifestLoader

    check = ManifestLoader.build_manifest_state_check

    def check_without_places(loader):
        state = check(loader)
        project = loader.root_project
        text = text_of(project.cli_vars) + str(project.args.target)
        state.vars_hash = FileHash.from_contents(text)
        # Of what a profile says, only the paths differ between tests.
        state.profile_hash = FileHash.from_contents(project.credentials.database)
        return state

    ManifestLoader.build_manifest_state_check = check_without_places


def text_of(variables: dict[str, Any]) -> str:
    """Write vars down, in one order and without places."""
    kept = {name: value for name, value in variables.items() if name not in PLACES}
    return json.dumps(kept, sort_keys=True, default=str)
