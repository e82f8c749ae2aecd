-- Grain: one model_name, model_version, role, hour and flag of preprocessing that was set. A list
-- counts by element: {"imputed": ["age"]} is the flag `imputed: age`.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={'retention': {'raw_key': 'rows.event_hour'}},
    pre_hook="{{ forget_stale(ref('int_event_hours'), ['event_hour']) }}",
) }}

with

stale_hours as (
    {{ stale_keys(ref('int_event_hours'), ['event_hour']) }}
),

flags as (
    select
        events.model_name,
        events.model_version,
        events.role,
        events.event_hour,
        events.request_hash,
        events.row_hash,
        unnest({{ json_members('events.preprocessing') }}, recursive := true),
        stale_hours.revision
    from {{ ref('stg_inference_events') }} as events
    inner join stale_hours on events.event_hour = stale_hours.event_hour
    where
        events.preprocessing is not null
        and {{ is_stale('events.event_hour', ref('int_event_hours'), 'event_hour') }}
),

-- An element that is no text stands for itself; lists in lists are not looked into.
flag_lists as (
    select
        * exclude (name, value),
        case
            when json_type(value) = 'ARRAY'
                then list_transform(
                    json_extract(value, '$[*]'),
                    lambda element: name || ': ' || coalesce(
                        {{ json_category('element') }}, '(' || lower(json_type(element)) || ')'
                    )
                )
            else [name]
        end as set_flags
    from flags
    where
        not (
            value::varchar in ('null', 'false', '[]', '{}', '""')
            or coalesce({{ json_number('value') }} = 0, false)
        )
),

-- Of a request that names a flag twice one counts.
distinct_flags as (
    select distinct
        * exclude (set_flags),
        unnest(set_flags) as flag
    from flag_lists
),

named_flags as (
    select
        *,
        dense_rank() over (
            partition by model_name, model_version, role, event_hour
            order by flag_count desc, flag asc
        ) as place
    from (
        select
            *,
            count(*) over (
                partition by model_name, model_version, role, event_hour, flag
            ) as flag_count
        from distinct_flags
    )
)

select
    model_name,
    model_version,
    role,
    case when place <= {{ most_names() }} then flag else '(other)' end as flag,
    count(distinct request_hash) as request_count,
    event_hour,
    revision
from named_flags
group by all
