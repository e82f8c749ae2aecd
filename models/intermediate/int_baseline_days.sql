-- Grain: one row of int_feature_days that is part of a baseline: of a feature for the model, of
-- the score for each version; or of the training set in their place, with a null date if it has no
-- days. Frozen with the baseline, also in a full refresh.
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
),

training_sets as (
    {{ known_training_sets() }}
),

of_training_sets as (
    select
        counts.baseline_version,
        -- Of all versions, if it is not said which one has scored it.
        case when counts.is_output then coalesce(counts.scored_version, 'all') else 'all' end
            as baseline_of,
        counts.model_name,
        'all' as model_version,
        'all' as role,
        counts.slice_key,
        counts.slice_value,
        counts.event_date,
        counts.feature,
        counts.feature_type,
        counts.prediction_count,
        counts.null_count,
        counts.bin_counts,
        counts.value_min,
        counts.value_max,
        counts.infinite_count,
        {{ hash64([
            'counts.slice_value', 'counts.prediction_count', 'counts.null_count',
            'counts.bin_counts', 'counts.value_min', 'counts.value_max', 'counts.infinite_count',
        ]) }} as revision,
        true as is_frozen
    from {{ ref('int_training_sets') }} as counts
    inner join {{ ref('int_monitored_models') }} as models
        on
            counts.model_name = models.model_name
            and counts.baseline_version = models.baseline_version
    inner join training_sets
        on
            counts.model_name = training_sets.model_name
            and counts.baseline_version = training_sets.baseline_version
    -- Without a value where the set has no column to slice by.
    where
        counts.slice_value is not null
        and (training_sets.has_outputs or not counts.is_output)
    -- By its days, where it has any.
    qualify
        counts.event_date is not null
        or count(counts.event_date) over (
            partition by
                counts.model_name, counts.baseline_version, counts.feature, counts.feature_type,
                counts.slice_key
        ) = 0
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
union all by name
select *
from of_training_sets as wanted -- noqa: AL05
{{ where_not_held(this if is_incremental() else none, {
    'baseline_version': 'wanted.baseline_version',
    'model_name': 'wanted.model_name',
    'baseline_of': 'wanted.baseline_of',
    'feature': 'wanted.feature',
    'feature_type': 'wanted.feature_type',
    'slice_key': 'wanted.slice_key',
}) }}
