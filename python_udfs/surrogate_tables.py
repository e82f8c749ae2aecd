"""Between Arrow tables of sampled predictions and the arrays of ``surrogate``."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from arrow_tables import parts_of
from domain_classifier import day_folds
from multivariate_tables import Sample
from surrogate import surrogate

# Rows that a surrogate is fitted to and judged by; some 0.6 s for 17 features.
SAMPLE_SIZE = 4000
IMPORTANCES = pa.schema(
    [
        *[pa.field(name, pa.string()) for name in ("model_name", "model_version", "feature")],
        pa.field("importance", pa.float64()),
        pa.field("weight", pa.float64()),
        pa.field("importance_source", pa.string()),
        pa.field("surrogate_r2", pa.float64()),
        pa.field("sample_count", pa.int64()),
        pa.field("data_status", pa.string()),
    ]
)


def importances_table(
    samples: pa.Table, given: dict[tuple[str, str], float], least: int
) -> pa.Table:
    """Say how much each model version depends on each of its features.

    Parameters
    ----------
    samples : Table
        Rows of ``int_feature_samples`` of one set of features by model, by rising
        ``request_hash``, so that any ``SAMPLE_SIZE`` of them are drawn alike.
    given : dict of (model_name, feature) to float
        Importances of the configuration; a model that has some needs no surrogate.
    least : int
        Fewer scores are not enough.

    Returns
    -------
    Table
        With the schema ``IMPORTANCES``.
    """
    rows = []
    scored = samples.filter(pc.is_valid(samples["score_bin"]))
    for (model_name, version), part in parts_of(scored, ("model_name", "model_version")):
        features = part["features"][0].as_py()
        names = [feature["name"] for feature in features]
        r2, count = None, 0
        status, source = "ok", "given"
        found = np.array([given.get((model_name, name), np.nan) for name in names])
        if names and np.isnan(found).all():
            source = "surrogate"
            sample, score = _sample(part, features)
            count = len(score)
            status = "insufficient_data"
            if count >= least:
                fit = surrogate(sample.values, score, _is_category(features), day_folds(sample.day))
                r2, found = fit.r2, fit.importance
                status = "ok" if fit.is_trusted else "not_estimable"
        found = np.nan_to_num(found)
        largest = found.max(initial=0.0)
        for name, importance in zip(names, found.tolist(), strict=True):
            rows.append(
                {
                    "model_name": model_name,
                    "model_version": version,
                    "feature": name,
                    "importance": importance if status == "ok" else None,
                    "weight": (importance / largest if largest else 0.0)
                    if status == "ok"
                    else None,
                    "importance_source": source,
                    "surrogate_r2": r2,
                    "sample_count": count,
                    "data_status": status,
                }
            )
    return pa.Table.from_pylist(rows, schema=IMPORTANCES)


def _is_category(features: list[dict[str, str]]) -> np.ndarray:
    return np.array([feature["type"] in ("categorical", "boolean") for feature in features], bool)


def _sample(part: pa.Table, features: list[dict[str, str]]) -> tuple[Sample, np.ndarray]:
    """Rows in which each prediction of all days is as likely, and their scores."""
    sample = Sample.of(part, features)
    score = part["score_bin"].to_numpy(zero_copy_only=False).astype(float)
    chosen = sample.uniform_rows(SAMPLE_SIZE)
    return sample.take(chosen), score[chosen]
