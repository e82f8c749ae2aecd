-- Grain: one filled calibration bin of a model_name, model_version, role, slice, closed window of
-- whole days and label_view.
with

bins as (
    select
        {{ shared_keys() | join(',\n        ') }},
        label_view,
        unnest(reliability_curve, recursive := true) -- noqa: AL03
    from {{ ref('int_performance_windows') }}
    where calibration_status = 'ok'
)

select
    {{ shared_keys() | join(',\n    ') }},
    label_view,
    bin,
    score_lower,
    score_upper,
    mean_score,
    positive_rate,
    positive_rate_lower,
    positive_rate_upper,
    labeled_count
from bins
