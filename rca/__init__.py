"""Root-cause reports: what the tables know of an alert, as a page for people to finish.

``python -m rca --alert <alert_id>`` reads a built database and writes Markdown in the shape of
``docs/rca_template.md``. ``rca/reading.py`` reads, ``rca/report.py`` writes.
"""

import sys
from pathlib import Path

PACKAGE_DIR = Path(__file__).resolve().parents[1]

sys.path.insert(0, str(PACKAGE_DIR / "python_udfs"))


class RcaError(Exception):
    """A report that cannot be made; the message says why and what to do."""
