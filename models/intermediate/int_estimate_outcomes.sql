-- Grain: one estimate of int_estimates, beside what became of it: the metric as labels told it
-- later, as far as enough of them are known.
{{ config(materialized='view') }}

with

performance as (
    select * from {{ ref('int_performance_windows') }} where slice_key = 'all'
)

select
    estimates.*,
    latest.labeled_count,
    {{ metric_by_labels('latest') }} as realised_value,
    {{ metric_by_labels('as_known') }} as known_value
from {{ ref('int_estimates') }} as estimates
{% for view in ['latest', 'as_known'] %}
left join performance as {{ view }}
    on
        estimates.model_name = {{ view }}.model_name
        and estimates.model_version = {{ view }}.model_version
        and estimates.role = {{ view }}.role
        and estimates.window_size = {{ view }}.window_size
        and estimates.window_end = {{ view }}.window_end
        and {{ view }}.label_view = '{{ view }}'
{% endfor %}
