"""Compare ``estimated_performance`` with NannyML's CBPE on the demo, window by window.

First ``.venv/bin/python -m benchmarks.check_estimates warehouse.duckdb`` writes the predictions of
some windows and the labels of their references; then ``<its python> -m benchmarks.check_estimates``
has NannyML estimate them. benchmarks/requirements-nannyml.txt pins its environment.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

FOLDER = Path("data/estimates")
METRICS = ["roc_auc", "accuracy", "f1", "precision", "recall"]
# Three windows a month of each length; the reference as docs/estimates.md defines it.
WINDOWS = """
    select
        model_version, role, window_size, window_start, window_end,
        concat_ws(' ', model_version, window_size, window_end::date) as place
    from ml_monitoring.estimated_performance
    where
        metric = 'estimated_roc_auc' and data_status = 'ok' and role = 'live'
        and window_size in ('7d', '28d') and day(window_end) in (1, 11, 21)
"""
EVENTS = """
    select
        *,
        coalesce(
            case when prediction in ('0', '1') then prediction::integer end,
            (score >= 0.5)::integer
        ) as predicted
    from ml_monitoring_restricted.stg_inference_events
    where status < 400 and score is not null
"""
QUERIES = {
    "windows": f"""
        select place, score, predicted
        from ({WINDOWS}) as windows
        inner join ({EVENTS}) as events using (model_version, role)
        where ts >= window_start and ts < window_end
        order by place, ts, request_id
    """,
    "references": f"""
        select place, score, predicted, label_number as label
        from ({WINDOWS}) as windows
        inner join ({EVENTS}) as events using (model_version)
        inner join ml_monitoring_internal.int_label_history as labels
            on
                events.request_id = labels.request_id
                and events.model_version = labels.model_version
                and events.role = labels.role
        where
            ts < window_start and ts >= window_start - interval '28 days'
            and ts < window_end - interval '2 days'
            and match_status = 'matched' and not is_duplicate
            and labeled_at <= window_end and coalesce(known_until > window_end, true)
        order by place, ts, events.request_id
    """,
    "estimates": f"""
        select place, replace(metric, 'estimated_', '') as metric, value
        from ({WINDOWS}) as windows
        inner join ml_monitoring.estimated_performance
            using (model_version, role, window_size, window_start, window_end)
        order by place, metric
    """,
}


def export(database: str) -> None:
    """Write what NannyML is to be given, and what the project estimates."""
    import duckdb

    FOLDER.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(database, read_only=True) as connection:
        for name, query in QUERIES.items():
            connection.sql(query).write_parquet(str(FOLDER / f"{name}.parquet"))


def compare() -> None:
    """Print how far the two are apart."""
    os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
    warnings.simplefilter("ignore")
    import nannyml
    import pandas as pd

    windows, references, estimates = (
        pd.read_parquet(FOLDER / f"{name}.parquet") for name in QUERIES
    )
    theirs, is_calibrated = {}, {}
    for place, window in windows.groupby("place"):
        reference = references[references["place"] == place].reset_index(drop=True)
        estimator = nannyml.CBPE(
            problem_type="classification_binary",
            y_pred_proba="score",
            y_pred="predicted",
            y_true="label",
            metrics=METRICS,
            chunk_number=1,
        ).fit(reference)
        found = estimator.estimate(window.reset_index(drop=True)).filter(period="analysis").to_df()
        is_calibrated[place] = estimator.needs_calibration
        for metric in METRICS:
            theirs[place, metric] = found[metric, "value"].iloc[-1]
    ours = estimates.set_index(["place", "metric"])["value"].rename_axis([None, None])
    apart = (pd.Series(theirs) - ours).abs().dropna().unstack()
    calibrated = pd.Series(is_calibrated)
    print(f"{len(apart)} windows, of which NannyML calibrates {calibrated.sum()}")
    for name, part in (("calibrated", apart[calibrated]), ("as they are", apart[~calibrated])):
        print(name, part.agg(["mean", "max"]).round(5).to_string(), sep="\n")


if __name__ == "__main__":
    export(sys.argv[1]) if len(sys.argv) > 1 else compare()
