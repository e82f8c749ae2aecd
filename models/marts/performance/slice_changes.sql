-- Grain: one model_name, model_version, role, slice, closed window of whole days with labels,
-- label_view and metric of a classifier.
{% set tested = [
    'value', 'reference_value', 'change', 'rest_change', 'difference_in_changes',
    'standard_error', 'design_effect', 'pvalue', 'qvalue', 'slice_rank',
] %}

with

changes as (
    select
        changes.* replace (
            changes.window_start::timestamp as window_start,
            changes.window_end::timestamp as window_end
        ),
        whole_models.performance_status = 'immature' as is_immature
    from {{ ref('int_slice_changes') }} as changes
    inner join {{ ref('int_performance_windows') }} as whole_models
        on
            changes.model_name = whole_models.model_name
            and changes.model_version = whole_models.model_version
            and changes.role = whole_models.role
            and changes.window_size = whole_models.window_size
            and changes.window_end = whole_models.window_end
            and changes.label_view = whole_models.label_view
            and whole_models.slice_key = 'all'
)

select
    {{ shared_keys() | join(',\n    ') }},
    label_view,
    metric,
    labeled_count,
    reference_labeled_count,
    sample_count,
    reference_sample_count,
    {% for column in tested %}
    case when not is_immature then {{ column }} end as {{ column }},
    {% endfor %}
    {% for column in ['rate_effect', 'mix_effect', 'contribution', 'whole_change'] %}
    case when not is_immature then {{ column }} end as {{ column }},
    {% endfor %}
    reference_start::timestamp as reference_start,
    reference_end::timestamp as reference_end,
    case
        when is_immature and change_status not in ('no_data', 'no_baseline') then 'immature'
        else change_status
    end as data_status
from changes
