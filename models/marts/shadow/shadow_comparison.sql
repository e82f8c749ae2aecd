-- Grain: one model_name, model_version that was a shadow, slice, closed window of whole days,
-- live_version and label_view; slice_value `all` of a protected attribute has the gaps of its
-- groups.
{% set counts = [
    'live_count', 'paired_count', 'shadow_only_count', 'answered_count', 'decided_count',
    'disagreement_count', 'labeled_count', 'live_only_right_count', 'shadow_only_right_count',
] %}

with

compared as (
    select
        compared.* exclude (window_start, window_end),
        'shadow' as role,
        compared.window_start::timestamp as window_start,
        compared.window_end::timestamp as window_end,
        models.task,
        compared.label_view = 'as_known'
        and compared.window_end
        + to_microseconds((models.label_grace_hours * 3.6e9)::bigint) > clock.as_of
        or compared.labeled_count < models.min_label_coverage * compared.answered_count
            as is_immature
    from {{ ref('int_shadow_comparison') }} as compared
    cross join {{ ref('int_as_of') }} as clock
    inner join {{ ref('int_monitored_models') }} as models
        on compared.model_name = models.model_name
),

stated as (
    select
        *,
        case
            when task <> 'binary_classification' then 'not_applicable'
            when performance_status = 'no_data' then 'no_data'
            when is_immature then 'immature'
            else performance_status
        end as data_status,
        data_status not in ('not_applicable', 'no_data', 'immature') as is_known
    from compared
),

scores as (
    select
        model_name,
        model_version,
        role,
        slice_key,
        slice_value,
        window_size,
        window_end,
        psi
    from {{ ref('feature_drift') }}
    where feature = 'score' and comparison = 'baseline'
)

select
    {% for key in shared_keys() %}
    stated.{{ key }},
    {% endfor %}
    stated.live_version,
    stated.label_view,
    {% for column in counts %}
    stated.{{ column }},
    {% endfor %}
    {% for column in shadow_service_columns() %}
    stated.{{ column }},
    {% endfor %}
    -- How far the scores of each are from those of its own baseline.
    live_scores.psi as live_score_psi,
    shadow_scores.psi as shadow_score_psi,
    {% for column in shadow_labelled_columns() %}
    case when stated.is_known then stated.{{ column }} end as {{ column }},
    {% endfor %}
    stated.data_status
from stated
{% for side, version in [('live', 'live_version'), ('shadow', 'model_version')] %}
left join scores as {{ side }}_scores
    on
        stated.model_name = {{ side }}_scores.model_name
        and stated.{{ version }} = {{ side }}_scores.model_version
        and {{ side }}_scores.role = '{{ side }}'
        and stated.slice_key = {{ side }}_scores.slice_key
        and stated.slice_value = {{ side }}_scores.slice_value
        and stated.window_size = {{ side }}_scores.window_size
        and stated.window_end = {{ side }}_scores.window_end
{% endfor %}
