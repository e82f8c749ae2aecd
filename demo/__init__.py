"""The demo: what a flight-delay service would have logged in 2013, as landing files.

Nothing in the dbt project imports this package. It only writes files for the project to read,
as any service of yours would.
"""

import sys
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]

# The demo's service logs with the project's own helper (`python_udfs/inference_logger.py`).
sys.path.insert(0, str(PROJECT_DIR / "python_udfs"))
