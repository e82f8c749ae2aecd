-- Grain: one feature of a model_name, model_version, role and closed window of multivariate_drift
-- with a classifier.
with

ranked as (
    select
        * exclude (importances),
        unnest(importances) as found,
        generate_subscripts(importances, 1) as importance_rank
    from {{ ref('int_multivariate_drift') }}
    where data_status = 'ok'
)

select
    {{ shared_keys()[:6] | join(',\n    ') }},
    window_start::timestamp as window_start,
    window_end::timestamp as window_end,
    found.feature,
    found.importance,
    importance_rank::integer as importance_rank,
    drift_level
from ranked
