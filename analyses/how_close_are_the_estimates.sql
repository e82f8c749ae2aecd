-- How close do estimates of performance come to what the labels tell later?
--
-- For each version, length of window and metric, over all windows whose labels are there by now:
-- the mean absolute difference of estimate and realised figure, beside that of the plainest
-- guess, that the window will be as its reference was; and the share of realised figures inside
-- the interval. Windows of several days overlap, so 100 windows of 28 days are far fewer cases.
--
-- Read it like this: an estimate is worth having where `estimate_off` is clearly under
-- `reference_off`. `bias` above 0: estimates are too high. `coverage` should be about 0.95;
-- `coverage_apart` is about what it would be if labels took as long as a window, so that only the
-- errors of windows that had ended before it began were known; two days is the demo's grace.
--
-- Run it with: dbt show --select how_close_are_the_estimates --limit 100
with

estimates as (
    select
        *,
        value - realised_value as difference
    from {{ ref('estimated_performance') }}
    where data_status = 'ok'
),

judged as (
    select
        *,
        count(difference) over before as earlier_count,
        sqrt(avg(difference * difference) over before) as earlier_off,
        -- How many windows fit side by side, the degrees of freedom.
        1 + epoch(
            max(case when difference is not null then window_end end) over before
            - min(case when difference is not null then window_end end) over before
        ) / epoch(window_end - window_start) as side_by_side
    from estimates
    window before as (
        partition by model_name, model_version, role, window_size, metric
        order by window_end
        range between -- noqa: PRS
        (window_end - window_start) + interval '90 days' preceding
        and greatest(window_end - window_start, interval '2 days') preceding
    )
),

-- The quantile of Student's t that is 1.96 for many, by its expansion (Abramowitz and Stegun
-- 26.7.5).
reached as (
    select
        *,
        earlier_off * (
            1.96 + 2.372 / side_by_side + 2.823 / power(side_by_side, 2)
            + 2.556 / power(side_by_side, 3)
        ) as reach_apart
    from judged
)

select
    model_name,
    model_version,
    role,
    window_size,
    metric,
    count(*) as window_count,
    round(avg(abs(difference)), 4) as estimate_off,
    round(avg(abs(reference_value - realised_value)), 4) as reference_off,
    round(avg(difference), 4) as bias,
    count(value_lower) as interval_count,
    round(avg(value_upper - value_lower) / 2, 4) as interval_reach,
    -- Null where there is no interval, and left out.
    round(avg((realised_value between value_lower and value_upper)::integer), 3) as coverage,
    round(
        avg((abs(difference) <= reach_apart)::integer) filter (where earlier_count >= 7), 3
    ) as coverage_apart
from reached
where realised_value is not null and reference_value is not null
group by all
order by all
