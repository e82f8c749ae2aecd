-- Which slice moved the latency?
--
-- Compares the newest 6 hours with the same hours of the 7 days before, slice by slice, and splits
-- the change of the overall mean in two: a slice became slower itself, or it has a larger share of
-- the traffic than before (mix). The contributions of the values of one slice_key add up to the
-- change of the whole model.
--
-- Read it like this: one value carries most of `contribution_ms`: look there. All values carry
-- their share: look at what all requests have in common. `mix_ms` is large: nothing became slower,
-- the traffic changed.
--
-- Run it with: dbt show --select which_slice_moved_latency --limit 50
with

hours as (
    select
        model_name,
        model_version,
        slice_key,
        slice_value,
        window_start,
        request_count,
        -- A mean weighs as many requests as there were: sums add up, means do not.
        latency_mean_ms * request_count as latency_sum_ms,
        max(window_end) over (partition by model_name, model_version) as newest_end
    from {{ ref('service_levels') }}
    where
        role = 'live'
        and window_size = '1h'
        and latency_mean_ms is not null
),

periods as (
    select
        *,
        window_start >= newest_end - interval '6 hours' as is_now
    from hours
    where
        window_start >= newest_end - interval '7 days' - interval '6 hours'
        -- Only the hours of the day that the newest six are.
        and (date_diff('hour', window_start, newest_end) - 1) % 24 < 6
),

slices as (
    select
        model_name,
        model_version,
        slice_key,
        slice_value,
        sum(request_count) filter (where is_now) as requests_now,
        sum(request_count) filter (where not is_now) as requests_before,
        sum(latency_sum_ms) filter (where is_now) as sum_now,
        sum(latency_sum_ms) filter (where not is_now) as sum_before
    from periods
    group by all
),

shares as (
    select
        *,
        sum_now / requests_now as mean_now_ms,
        sum_before / requests_before as mean_before_ms,
        coalesce(requests_now, 0) / sum(requests_now) over whole as share_now,
        coalesce(requests_before, 0) / sum(requests_before) over whole as share_before,
        sum(sum_before) over whole / sum(requests_before) over whole as whole_before_ms
    from slices
    window whole as (partition by model_name, model_version, slice_key)
)

select
    model_name,
    model_version,
    slice_key,
    slice_value,
    requests_now,
    round(mean_now_ms, 1) as mean_now_ms,
    round(mean_before_ms, 1) as mean_before_ms,
    round(share_now, 3) as share_now,
    round(share_before, 3) as share_before,
    round(share_now * (coalesce(mean_now_ms, 0) - coalesce(mean_before_ms, whole_before_ms)), 2)
        as slower_ms,
    round(
        (share_now - share_before) * (coalesce(mean_before_ms, whole_before_ms) - whole_before_ms),
        2
    ) as mix_ms,
    round(
        share_now * (coalesce(mean_now_ms, 0) - coalesce(mean_before_ms, whole_before_ms))
        + (share_now - share_before)
        * (coalesce(mean_before_ms, whole_before_ms) - whole_before_ms),
        2
    ) as contribution_ms
from shares
order by
    model_name asc,
    model_version asc,
    slice_key asc,
    contribution_ms desc
