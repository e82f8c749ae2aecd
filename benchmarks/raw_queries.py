"""The summaries as the shortest queries that one would write by hand, in a process of its own.

Left out: checks of the input, duplicates, corrected labels and when each became known, field
issues, configuration, and any second run.
"""

from __future__ import annotations

import argparse
import json
import time

import duckdb

from benchmarks.generate_events import CATEGORICAL, NUMERICAL

INPUTS = """
    create view events as
    select * exclude (features, attributes), unnest(features), unnest(attributes)
    from read_parquet('{landing}/inference_events/*.parquet');

    -- As the build has it: what is dated later than the clock may be wrong is not known yet.
    create view labels as
    from read_parquet('{landing}/labels/*.parquet')
    where labeled_at <= timestamp '{as_of}' + interval '1 hour';
"""

SERVICE_LEVELS = """
    create table service_{size}s as
    select
        date_trunc('{size}', ts) as window_start,
        country,
        device,
        count(*) as request_count,
        count(*) filter (where status >= 400) as error_count,
        avg(latency_ms) as latency_mean_ms,
        max(latency_ms) as latency_max_ms,
        quantile_cont(latency_ms, [0.5, 0.95, 0.99]) as latency_quantiles
    from events
    group by grouping sets (
        (window_start), (window_start, country), (window_start, device)
    )
"""

# 200 bins with as many events of the baseline each; the last one has no upper end.
EDGES = """
    set variable {feature} = (
        select list_append(
            list_sort(list_distinct(quantile_cont({feature}, [x / 200 for x in range(1, 200)]))),
            'inf'::double
        )
        from events
        where ts < timestamp '{baseline_end}' and status < 400
    )
"""

HISTOGRAMS = """
    create table histograms as
    select
        date_trunc('day', ts) as window_start,
        country,
        device,
        {numerical},
        {categorical}
    from events
    where status < 400
    group by grouping sets (
        (window_start), (window_start, country), (window_start, device)
    )
"""

LABELLED = """
    create table labelled as
    select
        date_trunc('day', ts) as window_start,
        country,
        device,
        score,
        label,
        epoch_ms(labeled_at - ts) / 3.6e6 as delay_hours
    from events
    left join labels using (request_id)
    where status < 400
"""

SCORE_BINS = """
    create table score_bins as
    select
        window_start,
        country,
        device,
        floor(score * 1000) as score_bin,
        count(*) as labeled_count,
        sum(label) as positive_count,
        count(*) filter (where label = 1 and score >= 0.5) as true_positive_count,
        count(*) filter (where label = 0 and score >= 0.5) as false_positive_count,
        sum(score) as score_sum,
        sum(score * (1 - score)) as variance_sum,
        sum((score - label) ** 2) as squared_error_sum,
        sum(-ln(case when label = 1 then score else 1 - score end)) as log_loss_sum
    from labelled
    where label is not null
    group by grouping sets (
        (window_start, score_bin),
        (window_start, score_bin, country),
        (window_start, score_bin, device)
    )
"""

COVERAGE = """
    create table coverage as
    select
        window_start,
        country,
        device,
        count(*) as prediction_count,
        count(label) as labeled_count,
        quantile_cont(delay_hours, [0.5, 0.95]) as delay_quantiles
    from labelled
    group by grouping sets (
        (window_start), (window_start, country), (window_start, device)
    )
"""


def queries(baseline_end: str) -> dict[str, str]:
    """Return the queries by what they compute, in their order."""
    edges = [EDGES.format(feature=name, baseline_end=baseline_end) for name in NUMERICAL]
    counts = HISTOGRAMS.format(
        numerical=", ".join(f"histogram({it}, getvariable('{it}')) as {it}" for it in NUMERICAL),
        categorical=", ".join(f"histogram({it}) as {it}" for it in CATEGORICAL),
    )
    return {
        "service levels by hour": SERVICE_LEVELS.format(size="hour"),
        "service levels by day": SERVICE_LEVELS.format(size="day"),
        "edges of the baseline": ";".join(edges),
        "histograms by day and feature": counts,
        "labels joined": LABELLED,
        "score bins by day": SCORE_BINS,
        "label coverage by day": COVERAGE,
    }


def main() -> None:
    """Run the queries on a new database, and print the seconds of each as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("database", "landing", "as-of", "baseline-end"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    seconds = {}
    with duckdb.connect(arguments.database) as connection:
        connection.execute(INPUTS.format(landing=arguments.landing, as_of=arguments.as_of))
        for name, query in queries(arguments.baseline_end).items():
            started = time.perf_counter()
            connection.execute(query)
            seconds[name] = time.perf_counter() - started
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
