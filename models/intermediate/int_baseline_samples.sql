-- Grain: one row of int_feature_samples that is part of the baseline of the features of a model.
-- Frozen with the baseline, also in a full refresh.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=false,
    pre_hook="{% if is_incremental() %} delete from {{ this }} where not is_frozen {% endif %}",
) }}

with

periods as (
    select periods.*
    from {{ ref('int_baseline_periods') }} as periods
    inner join {{ ref('int_monitored_models') }} as models
        on
            periods.model_name = models.model_name
            and periods.baseline_version = models.baseline_version
    where periods.kind = 'features'
)

select
    periods.baseline_version,
    samples.*,
    periods.frozen_at is not null as is_frozen
from {{ ref('int_feature_samples') }} as samples
inner join periods
    on
        samples.model_name = periods.model_name
        and samples.event_date >= periods.baseline_start
        and samples.event_date < periods.baseline_end
        and periods.role in ('all', samples.role)
{{ where_not_held(this if is_incremental() else none, {
    'baseline_version': 'periods.baseline_version',
    'model_name': 'samples.model_name',
}) }}
