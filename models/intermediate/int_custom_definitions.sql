-- Grain: one custom metric, as configured.
{% set metrics = custom_metrics() %}
{% for metric in metrics %}
select
    {{ text_literal(metric.name) }} as metric,
    {{ text_literal(metric.expression) }} as sql_expression,
    '{{ metric.over }}' as rows_over,
    [{{ text_literals(metric.models) }}]::varchar [] as models,
    [{{ text_literals(['all'] + metric.slices) }}]::varchar [] as slices,
    {{ metric.windows_days }}::bigint [] as windows_days,
    {{ "null::varchar" if metric.better == 'none' else text_literal(metric.better) }} as better,
    -- What a value means.
    '{{ local_md5(metric.over ~ metric.expression) }}' as definition
{{ 'union all' if not loop.last }}
{% else %}
select
    null::varchar as metric,
    null::varchar as sql_expression,
    null::varchar as rows_over,
    null::varchar [] as models,
    null::varchar [] as slices,
    null::bigint [] as windows_days,
    null::varchar as better,
    null::varchar as definition
where false
{% endfor %}
