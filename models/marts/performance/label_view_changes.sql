-- Grain: one model_name, model_version, role, slice, closed window of whole days with labels and
-- metric of a classifier.
with

statuses as (
    select
        model_name,
        model_version,
        role,
        slice_key,
        slice_value,
        window_size,
        window_end,
        -- What people knew then comes first.
        min_by(performance_status, label_view) filter (
            where performance_status in ('no_data', 'immature')
        ) as label_status
    from {{ ref('int_performance_windows') }}
    where slice_key = 'all'
    group by all
),

changes as (
    select
        changes.* exclude (window_start, window_end),
        changes.window_start::timestamp as window_start,
        changes.window_end::timestamp as window_end,
        coalesce(statuses.label_status, changes.change_status) as data_status
    from {{ ref('int_label_view_changes') }} as changes
    left join statuses using (
        model_name, model_version, role, slice_key, slice_value, window_size, window_end
    )
)

select
    {{ shared_keys() | join(',\n    ') }},
    metric,
    {% for column in [
        'value_as_known', 'value_corrected', 'value_latest', 'difference',
        'difference_by_corrections', 'difference_by_late_labels',
    ] %}
    case when data_status = 'ok' then {{ column }} end as {{ column }},
    {% endfor %}
    labeled_count_as_known,
    labeled_count_latest,
    corrected_count,
    turned_positive_count,
    turned_negative_count,
    late_count,
    early_positive_rate,
    late_positive_rate,
    late_positive_rate_pvalue,
    early_accuracy,
    late_accuracy,
    late_accuracy_pvalue,
    late_status,
    data_status
from changes
