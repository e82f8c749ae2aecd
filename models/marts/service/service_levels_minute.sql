-- Grain: one model_name, model_version, role and closed minute, silent ones included.
-- Of the main build; where a streaming run has been later, its minutes follow.
{{ config(tags=['streaming']) }}

{% set main_minutes = built(ref('int_service_levels_minute')) %}
{% set main_clock = built_or_empty(ref('int_as_of'), {'as_of': 'timestamp'}) %}

with

clocks as (
    select
        (select max(as_of) from {{ main_clock }}) as main_as_of,
        (select max(as_of) from {{ ref('int_streamed_as_of') }}) as streamed_as_of,
        (select max(covered_from) from {{ ref('int_streamed_as_of') }}) as covered_from
),

seam as (
    select
        case
            when main_as_of is null then '-infinity'::timestamp
            when streamed_as_of > main_as_of
                then least(covered_from, date_trunc('minute', main_as_of))
            else 'infinity'::timestamp
        end as streamed_from
    from clocks
),

minutes as (
    {% if main_minutes %}
    select *
    from {{ main_minutes }}
    where window_start < (select streamed_from from seam)
    -- By name: a main build of an earlier version of the project may lack some columns.
    union all by name
    {% endif %}
    select *
    from {{ ref('int_streamed_minutes') }}
    where window_start >= (select streamed_from from seam)
)

select
    model_name,
    model_version,
    role,
    'all' as slice_key,
    'all' as slice_value,
    '1m' as window_size,
    window_start,
    window_start + interval '1 minute' as window_end,
    {{ service_metrics() | join(',\n    ') }}
from minutes
