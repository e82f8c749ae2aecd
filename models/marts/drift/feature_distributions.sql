-- Grain: one cell of PSI of a model_name, model_version, role, slice, closed window of whole days,
-- feature and comparison.
with

cells as (
    select
        {{ shared_keys()[:6] | join(',\n        ') }},
        window_start::timestamp as window_start,
        window_end::timestamp as window_end,
        feature,
        comparison,
        baseline_version,
        unnest(cells, recursive := true) -- noqa: AL03
    from {{ ref('int_feature_drift') }}
    where data_status = 'ok'
)

select
    {{ shared_keys() | join(',\n    ') }},
    feature,
    comparison,
    baseline_version,
    bin,
    bin_lower,
    bin_upper,
    category,
    baseline_count,
    current_count
from cells
