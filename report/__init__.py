"""The report: a static site made from the public tables. ``python -m report``."""

import sys
from pathlib import Path

# The modules of python_udfs import each other by name, as dbt's Python models do.
sys.path.insert(0, str(Path(__file__).parents[1] / "python_udfs"))


class ReportError(Exception):
    """What a user can do something about; the message says what."""
