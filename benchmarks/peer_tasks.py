"""What Evidently and NannyML are asked to do; runs in their own environments, not in ours.

``python peer_tasks.py TASK --landing FOLDER --reference-days N``; prints JSON: how many rows were
read, what was compared, and a few results, to see that there are some.
"""

from __future__ import annotations

import argparse
import json
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

#: What is no feature.
EVENT = ["request_id", "ts", "status", "score"]


def read_predictions(landing: Path, *, features: bool) -> pd.DataFrame:
    """Read the predictions of all files: a column for each feature, in the order of time."""
    table = pq.read_table(
        landing / "inference_events", columns=[*EVENT, *(["features"] if features else [])]
    )
    table = table.filter(pc.less(table["status"], 400))
    columns = {name: table[name] for name in EVENT}
    if features:
        struct = table["features"].combine_chunks()
        names = [field.name for field in struct.type]
        columns |= dict(zip(names, struct.flatten(), strict=True))
    return pa.table(columns).to_pandas()


def split(frame: pd.DataFrame, reference_days: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split into the first days and the rest."""
    end = frame["ts"].min().normalize() + timedelta(days=reference_days)
    is_reference = frame["ts"] < end
    return frame[is_reference].reset_index(drop=True), frame[~is_reference].reset_index(drop=True)


def features_of(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the names of the numerical and of the categorical features."""
    names = [name for name in frame.columns if name not in EVENT]
    numerical = [name for name in names if pd.api.types.is_numeric_dtype(frame[name])]
    return numerical, [name for name in names if name not in numerical]


def compare_with_evidently(
    landing: Path, reference_days: int, method: str | None
) -> dict[str, object]:
    """Compare all rows after the reference with it, once: one window."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    frame = read_predictions(landing, features=True)
    numerical, categorical = features_of(frame)
    reference, current = split(frame[[*numerical, *categorical, "ts"]], reference_days)
    definition = DataDefinition(numerical_columns=numerical, categorical_columns=categorical)
    del frame
    datasets = [
        Dataset.from_pandas(part.drop(columns="ts"), data_definition=definition)
        for part in (current, reference)
    ]
    result = Report([DataDriftPreset(method=method)]).run(*datasets).dict()
    values = [metric["value"] for metric in result["metrics"] if isinstance(metric["value"], float)]
    return {
        "version": version("evidently"),
        "columns": len(numerical) + len(categorical),
        "windows": 1,
        # The reference's rows count too, to the peer's favour.
        "row_windows": len(reference) + len(current),
        "results": len(values),
        "sample": values[:3],
    }


def drift_with_nannyml(landing: Path, reference_days: int) -> dict[str, object]:
    """Compare each day with the reference, those of the reference included."""
    import nannyml

    frame = read_predictions(landing, features=True)
    numerical, categorical = features_of(frame)
    reference, current = split(frame[[*numerical, *categorical, "ts"]], reference_days)
    del frame
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=[*numerical, *categorical],
        treat_as_categorical=categorical,
        timestamp_column_name="ts",
        chunk_period="D",
    )
    result = calculator.fit(reference).calculate(current).to_df(multilevel=False)
    return {
        "version": version("nannyml"),
        "columns": len(numerical) + len(categorical),
        "windows": len(result),
        # Fitting compares the days of the reference too, for the thresholds.
        "row_windows": len(reference) + len(current),
        "results": int(result.filter(like="jensen_shannon_value").notna().sum().sum()),
        "sample": result.filter(like="jensen_shannon_value").iloc[-1].head(3).tolist(),
    }


def auc_with_nannyml(landing: Path, reference_days: int) -> dict[str, object]:
    """Join the labels and compute ROC AUC of each day."""
    import nannyml

    labels = pq.read_table(landing / "labels", columns=["request_id", "label"]).to_pandas()
    frame = read_predictions(landing, features=False).merge(labels, on="request_id")
    frame["prediction"] = (frame["score"] >= 0.5).astype(np.int64)
    reference, current = split(frame, reference_days)
    calculator = nannyml.PerformanceCalculator(
        problem_type="classification_binary",
        y_true="label",
        y_pred="prediction",
        y_pred_proba="score",
        timestamp_column_name="ts",
        metrics=["roc_auc"],
        chunk_period="D",
    )
    result = calculator.fit(reference).calculate(current).to_df(multilevel=False)
    return {
        "version": version("nannyml"),
        "columns": 1,
        "windows": len(result),
        "row_windows": len(frame),
        "results": int(result["roc_auc_value"].notna().sum()),
        "sample": result["roc_auc_value"].tail(3).tolist(),
    }


TASKS = {
    "evidently_defaults": lambda *where: compare_with_evidently(*where, None),
    "evidently_psi": lambda *where: compare_with_evidently(*where, "psi"),
    "nannyml_drift": drift_with_nannyml,
    "nannyml_auc": auc_with_nannyml,
}


def main() -> None:
    """Do one task and print what it was as JSON, on the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=list(TASKS))
    parser.add_argument("--landing", type=Path, required=True)
    parser.add_argument("--reference-days", type=int, required=True)
    arguments = parser.parse_args()
    print(json.dumps(TASKS[arguments.task](arguments.landing, arguments.reference_days)))


if __name__ == "__main__":
    main()
