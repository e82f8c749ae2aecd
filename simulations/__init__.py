"""What the verdicts on drift are worth, by simulation: ``python -m simulations``."""

import sys
from pathlib import Path

# The modules of python_udfs import each other by name, as dbt's Python models do.
sys.path.insert(0, str(Path(__file__).parents[1] / "python_udfs"))
