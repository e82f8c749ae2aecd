"""Backtests: what alert rules would have done over all history that a database holds.

``python -m backtesting`` judges rules on the metrics of a built database, in a database of its
own, and sets their alerts against a list of incidents. How alerts and incidents are matched is in
``python_udfs/backtest.py``.
"""

import sys
from pathlib import Path

PACKAGE_DIR = Path(__file__).resolve().parents[1]

sys.path.insert(0, str(PACKAGE_DIR / "python_udfs"))


class BacktestError(Exception):
    """A backtest that cannot be made; the message says why and what to do."""
