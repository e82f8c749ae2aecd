-- Grain: one model_name, model_version that was a shadow, live_version, and slice or range or
-- category of a feature, from its first day in the shadow to its newest closed one.
{% set z = 1.959963984540054 %}

with

days as (
    select days.*
    from {{ ref('int_disagreement_days') }} as days
    cross join {{ ref('int_as_of') }} as clock
    where days.event_date < clock.as_of::date
),

spans as (
    select
        model_name,
        model_version,
        min(event_date) as first_date,
        max(event_date) + 1 as end_date
    from days
    group by model_name, model_version
),

summed as (
    select
        model_name,
        model_version,
        live_version,
        slice_key,
        slice_value,
        feature,
        range_number,
        category,
        sum(pair_count)::bigint as pair_count,
        sum(decided_count)::bigint as decided_count,
        sum(disagreement_count)::bigint as disagreement_count,
        sum(labeled_disagreement_count)::bigint as labeled_disagreement_count,
        sum(shadow_right_count)::bigint as shadow_right_count,
        sum(live_right_count)::bigint as live_right_count,
        sum(distance_count)::bigint as distance_count,
        sum(distance_sum)::hugeint as distance_sum,
        sum(difference_sum)::hugeint as difference_sum,
        list_slice(list_reverse_sort(flatten(list(furthest))), 1, 5) as furthest
    from days
    group by all
),

measured as (
    select
        *,
        case
            when decided_count >= {{ settings().min_samples }}
                then disagreement_count / decided_count
        end as disagreement_rate,
        disagreement_rate is not null and (feature is not null or slice_key <> 'all') as is_ranked
    from summed
),

bounded as (
    select
        *,
        -- Wilson's lower bound: a few requests that differ by chance do not lead the list.
        greatest(
            (
                disagreement_rate + {{ z * z }} / (2 * decided_count)
                - {{ z }} * sqrt(
                    disagreement_rate * (1 - disagreement_rate) / decided_count
                    + {{ z * z }} / (4 * decided_count * decided_count)
                )
            ) / (1 + {{ z * z }} / decided_count),
            0
        ) as disagreement_rate_lower
    from measured
)

select
    bounded.model_name,
    bounded.model_version,
    'shadow' as role,
    bounded.slice_key,
    bounded.slice_value,
    date_diff('day', spans.first_date, spans.end_date)::bigint || 'd' as window_size,
    spans.first_date::timestamp as window_start,
    spans.end_date::timestamp as window_end,
    bounded.live_version,
    bounded.feature,
    case when bounded.range_number > 0 then cuts.cuts[bounded.range_number] end as range_lower,
    cuts.cuts[bounded.range_number + 1] as range_upper,
    case
        when bounded.category is not null then bounded.category
        when bounded.feature is not null and bounded.range_number is null then '(missing)'
    end as category,
    bounded.pair_count,
    bounded.disagreement_count,
    bounded.disagreement_rate,
    bounded.disagreement_rate_lower,
    bounded.distance_sum::double / {{ fixed_unit() }} / nullif(bounded.distance_count, 0)
        as mean_absolute_difference,
    bounded.difference_sum::double / {{ fixed_unit() }} / nullif(bounded.distance_count, 0)
        as mean_difference,
    bounded.labeled_disagreement_count,
    bounded.shadow_right_count,
    bounded.live_right_count,
    list_transform( -- noqa: RF02
        bounded.furthest, lambda pair: pair.request_id -- noqa: RF01, RF02
    ) as sample_request_ids,
    case
        when bounded.is_ranked
            then row_number() over (
                partition by
                    bounded.model_name, bounded.model_version, bounded.live_version,
                    bounded.is_ranked
                order by
                    bounded.disagreement_rate_lower desc,
                    bounded.slice_key asc,
                    bounded.slice_value asc,
                    bounded.feature asc nulls first,
                    bounded.range_number asc nulls first,
                    bounded.category asc nulls first
            )
    end as disagreement_rank,
    case
        when bounded.decided_count = 0 then 'no_data'
        when bounded.disagreement_rate is null then 'insufficient_data'
        else 'ok'
    end as data_status
from bounded
inner join spans
    on bounded.model_name = spans.model_name and bounded.model_version = spans.model_version
left join {{ ref('int_feature_cuts') }} as cuts
    on bounded.model_name = cuts.model_name and bounded.feature = cuts.feature
