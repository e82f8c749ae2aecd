-- Grain: one model_name, model_version, role, slice, closed window of whole days with
-- predictions, and label_view.
select
    {{ shared_keys() | join(',\n    ') }},
    label_view,
    labeled_count,
    {{ performance_columns() | join(',\n    ') }},
    null::double as mae,
    null::double as rmse,
    null::double as mape,
    null::double as r2,
    null::double as mean_error,
    performance_status as data_status
from {{ ref('int_performance_windows') }}
