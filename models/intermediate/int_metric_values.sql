-- Grain: one metric of one home table, for its shared keys, label_view, feature and comparison.
{{ config(materialized='view') }}
{% set tasks = monitored_models() | map(attribute='task') | list %}

with

metrics as (
    {% for home in metric_homes() if (home.tasks or tasks) | select('in', tasks) | list %}
    {% set home_loop = loop %}
    {% for metric in (['value'] if home.is_long else home.metrics) %}
    select
        {{ shared_keys() | join(', ') }},
        {{ 'label_view' if home.label_view else 'null::varchar' }} as label_view,
        {{ 'feature' if home.feature else 'null::varchar' }} as feature,
        {{ 'comparison' if home.feature else 'null::varchar' }} as comparison,
        {{ 'metric' if home.is_long else "'" ~ metric ~ "'" }} as metric,
        {{ metric }}::double as value,
        {{ metric ~ '_lower' if metric in home.intervals else 'null' }}::double as value_lower,
        {{ metric ~ '_upper' if metric in home.intervals else 'null' }}::double as value_upper,
        {{ home.sample_count }}::bigint as sample_count,
        {{ (home.bounds or {}).get(metric, 'null') }}::double as bin_bound,
        {{ (home.status or 'data_status') if home.data_status else "'ok'" }} as table_status,
        '{{ home.undefined or 'no_data' }}' as undefined_status,
        '{{ home.table }}' as home_table
    {% if home.table == 'service_levels_minute' %}
    -- Those of the main build alone: it judges nothing that streaming runs add to the table.
    from (
        select
            *,
            'all' as slice_key,
            'all' as slice_value,
            '1m' as window_size,
            window_start + interval '1 minute' as window_end
        from {{ ref('int_service_levels_minute') }}
    )
    {% else %}
    from {{ ref(home.table) }}
    {% endif %}
    {{ 'where ' ~ home.where if home.where }}
    {{ 'where task in (' ~ text_literals(home.tasks) ~ ')' if home.tasks }}
    {{ 'union all' if not (loop.last and home_loop.last) }}
    {% endfor %}
    {% endfor %}
)

select
    * exclude (table_status, undefined_status, bin_bound),
    case
        when value is null then null
        when bin_bound is not null then bin_bound
        -- Quantiles from bins of latencies and delays.
        when
            home_table = 'service_levels_rolling' and metric like '%\_p__\_ms' escape '\'
            or metric like 'label\_delay%' escape '\'
            then value * 0.02
        when metric like 'latency_mean%' then 0.000001
        else 0
    end as error_bound,
    -- The status of a table is that of its main statistic; others may be known without it.
    case
        -- A count is there from the start: the table says whether it may still grow.
        when metric = 'labeled_count' then table_status
        when value is not null then 'ok'
        when table_status <> 'ok' then table_status
        -- Such as a quotient of nothing, or a latency that nobody measured.
        else undefined_status
    end as data_status
from metrics
