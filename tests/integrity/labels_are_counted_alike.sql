-- Coverage and performance count the same labels on two ways: by the first label that was known,
-- and by the versions of labels that were valid.
select
    coverage.model_name,
    coverage.model_version,
    coverage.role,
    coverage.slice_key,
    coverage.slice_value,
    coverage.window_size,
    coverage.window_end,
    coverage.label_view,
    coverage.labeled_count,
    performance.labeled_count as performance_labeled_count
from {{ ref('int_label_coverage') }} as coverage
left join {{ ref('int_performance') }} as performance
    using (
        model_name, model_version, role, slice_key, slice_value, window_size, window_end,
        label_view
    )
where coverage.labeled_count <> coalesce(performance.labeled_count, 0)
