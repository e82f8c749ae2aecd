-- Grain: one model_name, model_version, role, slice, closed window of whole days with
-- predictions, and label_view.
select
    {{ shared_keys() | join(',\n    ') }},
    label_view,
    task,
    labeled_count,
    {{ performance_columns() | join(',\n    ') }},
    performance_status as data_status
from {{ ref('int_performance_windows') }}
