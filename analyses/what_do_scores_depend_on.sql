-- What do scores depend on, and has that moved?
--
-- The features of each version by importance, beside their drift in the newest window of a week or
-- whatever is the longest.
--
-- Read it like this: drift of a feature of little `weight` changes few answers. A feature of much
-- weight that drifts is what to look at when performance falls. `not_estimable`: no simple model
-- explains the scores, so no importance is given; give your own in monitored_models.
--
-- Run it with: dbt show --select what_do_scores_depend_on --limit 50
with

windows as (
    select *
    from {{ ref('feature_drift') }}
    where
        role = 'live'
        and slice_key = 'all'
        and comparison = 'baseline'
    qualify dense_rank() over (
        partition by model_name, model_version
        order by window_end - window_start desc, window_end desc
    ) = 1
)

select
    importances.model_name,
    importances.model_version,
    importances.feature,
    round(importances.weight, 3) as weight,
    importances.importance_source,
    round(importances.surrogate_r2, 2) as surrogate_r2,
    importances.data_status,
    windows.window_end,
    round(windows.psi, 3) as psi,
    windows.drift_level
from {{ ref('int_feature_importances') }} as importances
left join windows
    on
        importances.model_name = windows.model_name
        and importances.model_version = windows.model_version
        and importances.feature = windows.feature
order by
    importances.model_name asc,
    importances.model_version asc,
    importances.weight desc nulls last,
    importances.feature asc
