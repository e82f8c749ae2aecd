-- Grain: one row of int_feature_days that is part of a baseline: of a feature for the model, of
-- the score for each version. Frozen with the baseline, also in a full refresh.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=false,
    pre_hook="{% if is_incremental() %} delete from {{ this }} where not is_frozen {% endif %}",
) }}

with

periods as (
    select
        periods.*,
        models.task
    from {{ ref('int_baseline_periods') }} as periods
    inner join {{ ref('int_monitored_models') }} as models
        on
            periods.model_name = models.model_name
            and periods.baseline_version = models.baseline_version
)

select
    periods.baseline_version,
    -- Whose baseline it is: features of all versions, the score of one.
    periods.model_version as baseline_of,
    days.*,
    periods.frozen_at is not null as is_frozen
from {{ ref('int_feature_days') }} as days
inner join periods
    on
        days.model_name = periods.model_name
        and days.event_date >= periods.baseline_start
        and days.event_date < periods.baseline_end
        and {{ is_output('days.feature', 'periods.task') }} = (periods.kind = 'score')
        and periods.model_version in ('all', days.model_version)
        and periods.role in ('all', days.role)
{{ where_not_held(this if is_incremental() else none, {
    'baseline_version': 'periods.baseline_version',
    'model_name': 'days.model_name',
    'baseline_of': 'periods.model_version',
    'feature': 'days.feature',
    'feature_type': 'days.feature_type',
    'slice_key': 'days.slice_key',
}) }}
