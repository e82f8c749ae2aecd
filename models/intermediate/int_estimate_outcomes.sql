-- Grain: one estimate of int_estimates, beside what became of it: the metric as labels told it
-- later, as far as enough of them are known.
{{ config(materialized='view') }}
{% set regressions = monitored_models() | selectattr('task', 'equalto', 'regression') | list %}

with

{% if regressions %}
errors as (
    select
        coverage.model_name,
        coverage.model_version,
        coverage.role,
        coverage.window_size,
        coverage.window_end,
        coverage.label_view,
        coverage.labeled_count,
        {{ is_still_growing() }}
        or coverage.labeled_count < models.min_label_coverage * coverage.prediction_count
            as is_immature,
        sum(days.labeled_count) as error_count,
        -- In one order, since a sum of doubles depends on it.
        sum(
            days.absolute_error_sum
            order by days.event_date, days.score_bin, days.known_on, days.replaced_on
        ) as absolute_error_sum,
        sum(
            days.squared_error_sum
            order by days.event_date, days.score_bin, days.known_on, days.replaced_on
        ) as squared_error_sum
    from {{ ref('int_label_coverage') }} as coverage
    cross join {{ ref('int_as_of') }} as clock
    inner join {{ ref('int_monitored_models') }} as models
        on coverage.model_name = models.model_name and models.task = 'regression'
    inner join {{ ref('int_error_days') }} as days
        on
            coverage.model_name = days.model_name
            and coverage.model_version = days.model_version
            and coverage.role = days.role
            and coverage.window_start <= days.event_date
            and coverage.window_end > days.event_date
            and case coverage.label_view
                when 'latest' then days.replaced_on is null
                else
                    days.known_on <= coverage.window_end
                    and coalesce(days.replaced_on > coverage.window_end, true)
            end
    where coverage.slice_key = 'all'
    group by all
),

regressions as (
    select
        errors.*,
        sqrt(squared_error_sum / error_count) as rmse,
        absolute_error_sum / error_count as mae
    from errors
    cross join {{ ref('int_settings') }} as settings
    where not errors.is_immature and errors.error_count >= settings.min_samples
),
{% endif %}

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
{% if regressions %}
left join regressions as {{ view }}_errors
    on
        estimates.model_name = {{ view }}_errors.model_name
        and estimates.model_version = {{ view }}_errors.model_version
        and estimates.role = {{ view }}_errors.role
        and estimates.window_size = {{ view }}_errors.window_size
        and estimates.window_end = {{ view }}_errors.window_end
        and {{ view }}_errors.label_view = '{{ view }}'
{% endif %}
{% endfor %}
