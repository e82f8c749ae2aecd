-- Grain: one target, model_version, slice value and feature that is breached now, and since when.
with

last_good as (
    select
        evaluations.slo_name,
        evaluations.model_version,
        evaluations.slice_value,
        evaluations.feature,
        max(evaluations.window_end) filter (where not evaluations.is_breached) as good_until
    from {{ ref('int_slo_evaluations') }} as evaluations
    group by all
),

first_bad as (
    select
        evaluations.slo_name,
        evaluations.model_version,
        evaluations.slice_value,
        evaluations.feature,
        -- A long window is tipped over by its newest part.
        arg_min(
            greatest(
                evaluations.window_start,
                evaluations.window_end
                - case
                    when evaluations.window_size like '%d' then interval '1 day'
                    else interval '1 hour'
                end
            ),
            evaluations.window_end
        ) as bad_since,
        count(*) as bad_windows
    from {{ ref('int_slo_evaluations') }} as evaluations
    inner join last_good using (slo_name, model_version, slice_value, feature)
    where
        evaluations.is_breached
        and evaluations.window_end > coalesce(last_good.good_until, timestamp '1970-01-01')
    group by all
)

select
    status.*,
    case when status.data_status = 'ok' then first_bad.bad_since else last_good.good_until end
        as breached_since,
    case when status.data_status = 'ok' then first_bad.bad_windows end as breached_windows
from (select * replace (coalesce(feature, '') as feature) from {{ ref('slo_status') }}) as status
left join last_good using (slo_name, model_version, slice_value, feature)
left join first_bad using (slo_name, model_version, slice_value, feature)
where status.is_breached
