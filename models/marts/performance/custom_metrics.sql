-- Grain: one custom metric, model_name, model_version, role, slice, closed window of whole days
-- with predictions, and label_view.
with

definitions as (
    select * from {{ ref('int_custom_definitions') }}
),

-- Windows that reach into days whose events are gone may hold values of another definition.
found as (
    select
        found.*,
        definitions.rows_over,
        definitions.better
    from {{ ref('int_custom_metrics') }} as found
    inner join definitions
        on
            found.metric = definitions.metric
            and found.definition = definitions.definition
            and list_contains(definitions.slices, found.slice_key)
            and list_contains(definitions.models, found.model_name)
),

coverage as (
    select
        coverage.*,
        {{ is_still_growing() }}
        or coverage.labeled_count < models.min_label_coverage * coverage.prediction_count
            as is_immature
    from {{ ref('int_label_coverage') }} as coverage
    cross join {{ ref('int_as_of') }} as clock
    inner join {{ ref('int_monitored_models') }} as models
        on coverage.model_name = models.model_name
),

over_events as (
    select
        {{ shared_keys() | join(',\n        ') }},
        label_view,
        metric,
        value,
        sample_count,
        better,
        problem,
        null::varchar as label_status
    from found
    where rows_over = 'events'
),

-- A window of predictions without labels has a row too.
over_labels as (
    select
        {% for key in shared_keys() %}
        coverage.{{ key }},
        {% endfor %}
        coverage.label_view,
        definitions.metric,
        found.value,
        coalesce(found.sample_count, 0)::bigint as sample_count,
        definitions.better,
        found.problem,
        case
            when found.sample_count is null then 'no_data'
            when coverage.is_immature then 'immature'
        end as label_status
    from coverage
    inner join definitions
        on
            definitions.rows_over = 'labels'
            and list_contains(definitions.models, coverage.model_name)
            and list_contains(definitions.slices, coverage.slice_key)
            and list_contains(
                definitions.windows_days, rtrim(coverage.window_size, 'd')::bigint
            )
    left join found
        on
            {% for key in shared_keys() %}
            coverage.{{ key }} = found.{{ key }}
            and {% endfor %} coverage.label_view = found.label_view
            and definitions.metric = found.metric
),

stated as (
    select
        *,
        coalesce(
            label_status,
            case
                when sample_count < {{ settings().min_samples }} then 'insufficient_data'
                when value is null then 'not_estimable'
                else 'ok'
            end
        ) as data_status
    from (
        select * from over_events
        union all by name
        select * from over_labels
    )
)

select
    {{ shared_keys()[:6] | join(',\n    ') }},
    window_start::timestamp as window_start,
    window_end::timestamp as window_end,
    label_view,
    metric,
    case when data_status = 'ok' then value end as value,
    sample_count,
    better,
    problem,
    data_status
from stated
