"""Time the evaluation of alert rules: ``python -m benchmarks.alerts --lines 10000 --days 365``.

Ten rules each watch a feature of 50 in each of 20 slices, by the
day: so many lines. The metrics are made up; what is timed are the models from the metrics to the
alerts, as a build runs them, and dbt's start beside them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from datetime import datetime, timedelta

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks.builds import new_database, run_dbt
from benchmarks.measure import arguments_of, run_part, say, table

START = datetime(2024, 1, 1)
MODELS = ["int_alert_evaluations", "int_alert_absences", "int_alert_lines", "int_alert_groups"]
RULES, SLICES = 10, 20

SCHEMA = """
    create schema ml_monitoring_internal;
    use ml_monitoring_internal;
    create table int_as_of as select timestamp '{as_of}' as as_of;
    create table int_service_spans as
    select
        'model ' || rule as model_name, 'v1' as model_version, 'live' as role,
        timestamp '{start}' as span_start, timestamp '{as_of}' as span_end, true as is_serving
    from range({rules}) as rules (rule);
    create table int_alert_conditions as
    select
        'rule ' || rule as alert_name, 'model ' || rule as model_name, 'live' as role,
        1 as condition_number, 'psi' as metric, 'slice' as slice_key, '*' as feature,
        'baseline' as comparison, '1d' as window_size, '>' as comparator, 0.25::double as threshold,
        'value' as compare_to, 50::bigint as min_requests, 2 as breach_windows,
        3 as evaluation_windows, 2 as resolve_windows, 'breach' as on_missing, 'page' as severity,
        '' as runbook, '' as owner, false as triggers_retraining, '' as comment, 'rule' as kind,
        0::double as grace_hours, 48::double as max_age_hours, 1440 as step_minutes
    from range({rules}) as rules (rule);
    create table int_metric_values as
    select
        'model ' || rule as model_name, 'v1' as model_version, 'live' as role,
        'slice' as slice_key, 'value ' || slice as slice_value, '1d' as window_size,
        timestamp '{start}' + to_days(day) as window_start,
        timestamp '{start}' + to_days(day + 1) as window_end,
        null::varchar as label_view, 'feature ' || feature as feature, 'baseline' as comparison,
        'psi' as metric, value, null::double as value_lower, null::double as value_upper,
        1000::bigint as sample_count, 0::double as error_bound, 'ok' as data_status,
        'feature_drift' as home_table
    from made
"""


def measure(arguments: argparse.Namespace) -> dict:
    """Make the metrics, then evaluate the rules on them."""
    features = arguments.lines // (RULES * SLICES)
    shape = RULES, SLICES, features, arguments.days
    places = [part.ravel().astype(np.int32) for part in np.indices(shape)]
    # Nearly a tenth of the windows breach, so that lines fire and resolve all the time.
    value = np.random.default_rng(1).lognormal(-2.2, 0.6, places[0].size)
    made = pa.table(dict(zip(("rule", "slice", "feature", "day"), places, strict=True)))
    made = made.append_column("value", pa.array(value))

    folder = arguments.folder / "alerts"
    database = new_database(folder)
    as_of = START + timedelta(days=arguments.days)
    with duckdb.connect(str(database)) as connection:
        connection.register("made", made)
        connection.execute(SCHEMA.format(start=START, as_of=as_of, rules=RULES))
    # The first run reads the project; those after it do not.
    for _ in range(2):
        start = run_dbt(["run", "--select", "int_as_of"], database, folder, f"{as_of:%Y-%m-%d}")
    run = run_dbt(["run", "--select", *MODELS, "alerts"], database, folder, f"{as_of:%Y-%m-%d}")
    run.print("rules")
    with duckdb.connect(str(database), read_only=True) as connection:
        ((alerts, lines),) = connection.execute(
            "select count(distinct alert_id), count(*) from ml_monitoring_internal.int_alert_groups"
        ).fetchall()
    say(f"{alerts:,} alerts with {lines:,} lines")
    shutil.rmtree(folder)
    return {
        "lines": RULES * SLICES * features,
        "days": arguments.days,
        "evaluations": len(value),
        "breached_share": float((value > 0.25).mean()),
        "alerts": alerts,
        "fired": lines,
        "run": run,
        "start": start.wall,
    }


def report(figures: dict) -> str:
    """Write the table of what was measured."""
    run = figures["run"]
    rows = [[f"`{name}`", f"{run['models'][name]:.1f} s"] for name in MODELS]
    rows += [
        ["`dbt run` of them", f"{run['wall']:.1f} s"],
        ["without dbt's start", f"{run['wall'] - figures['start']:.1f} s"],
        ["peak memory", f"{run['peak']:.2f} GiB"],
    ]
    return (
        f"{figures['lines']:,} lines over {figures['days']} days, {figures['evaluations']:,}"
        f" evaluations, {figures['breached_share']:.0%} of them breached; {figures['fired']:,}"
        " stretches in which a line fired:\n\n" + table(["", ""], rows)
    )


if __name__ == "__main__":
    parser = arguments_of(__doc__)
    parser.add_argument("--lines", type=int, default=10_000, help="rules x slices x features")
    parser.add_argument("--days", type=int, default=365)
    given = parser.parse_args()
    sys.exit(run_part("alerts", given, measure, report, key=f"{given.lines}x{given.days}"))
