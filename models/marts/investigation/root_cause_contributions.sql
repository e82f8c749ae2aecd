-- Grain: one alert_id, contribution_kind, slice_key and slice_value: the slices, and pairs of them,
-- of each alert that has fired and whose metric can be split.
select
    {{ shared_keys() | join(',\n    ') }},
    alert_id,
    alert_name,
    metric,
    contribution_kind,
    reference_start,
    reference_end,
    current_start,
    current_end,
    reference_value,
    value,
    change,
    reference_share,
    share,
    reference_slice_value,
    slice_metric_value,
    mix_effect,
    within_effect,
    contribution,
    contribution_share,
    contribution_rank,
    change_without,
    zscore,
    cause_rank,
    is_distinct,
    data_status
from {{ ref('int_root_causes') }}
-- Those of closed days stay, as long as their alert does.
where alert_id in (select alerts.alert_id from {{ ref('alerts') }} as alerts)
