"""What a dbt process imports before it starts to work; see dbt_process.py."""

import dbt.adapters.duckdb
import dbt.cli.main
import dbt.task.build
import dbt.task.run
import duckdb
import numpy
import pandas
import pyarrow.compute
import pyarrow.parquet
import scipy.stats

__all__ = ["dbt", "duckdb", "numpy", "pandas", "pyarrow", "scipy"]
