-- Grain: one baseline_version and what it is the reference of: the features of a model
-- (model_version `all`) or the scores of one model_version. Once frozen, a row stays as it is,
-- also in a full refresh.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=false,
    pre_hook="{% if is_incremental() %} delete from {{ this }} where frozen_at is null {% endif %}",
) }}
{# Whether the training set has the scores of a version. #}
{% set is_in_set = "coalesce(training_sets.has_outputs"
    ~ " and coalesce(training_sets.scored_version, versions.model_version)"
    ~ " = versions.model_version, false)" %}

with

predictions as (
    select
        model_name,
        model_version,
        role,
        event_date,
        request_count - error_count as prediction_count
    from {{ ref('int_service_days') }}
    where slice_key = 'all' and request_count > error_count
),

training_sets as (
    {{ known_training_sets() }}
),

first_dates as (
    select
        model_name,
        min(event_date) as first_date
    from predictions
    group by model_name
),

dated_models as (
    select
        models.model_name,
        models.baseline_version,
        models.baseline_definition as definition,
        training_sets.prediction_count as set_count,
        -- A training set has no days.
        case
            when training_sets.model_name is null
                then coalesce(models.baseline_start::date, first_dates.first_date)
        end as baseline_start,
        case
            when training_sets.model_name is null then coalesce(
                models.baseline_end::date,
                (first_dates.first_date + to_days(models.baseline_days))::date
            )
        end as baseline_end
    from {{ ref('int_monitored_models') }} as models
    left join first_dates on models.model_name = first_dates.model_name
    left join training_sets
        on
            models.model_name = training_sets.model_name
            and models.baseline_version = training_sets.baseline_version
),

feature_periods as (
    select
        dated_models.*,
        'all' as model_version,
        'features' as kind,
        -- Shadow requests are those of the live version once more; they count where there are no
        -- others.
        min(predictions.role) as role
    from dated_models
    left join predictions
        on
            dated_models.model_name = predictions.model_name
            and dated_models.baseline_start <= predictions.event_date
            and dated_models.baseline_end > predictions.event_date
    group by all
),

model_periods as (
    {% if is_incremental() %}
    select
        wanted.* replace (
            coalesce(frozen.baseline_start, wanted.baseline_start) as baseline_start,
            coalesce(frozen.baseline_end, wanted.baseline_end) as baseline_end
        )
    from feature_periods as wanted
    left join {{ this }} as frozen
        on
            wanted.model_name = frozen.model_name
            and wanted.model_version = frozen.model_version
            and wanted.baseline_version = frozen.baseline_version
    {% else %}
    select * from feature_periods
    {% endif %}
),

versions as (
    select
        predictions.model_name,
        predictions.model_version,
        min(predictions.event_date) as first_date,
        count(*) filter (
            where
            predictions.event_date >= model_periods.baseline_start
            and predictions.event_date < model_periods.baseline_end
        ) > 0 as is_in_model_period
    from predictions
    inner join model_periods on predictions.model_name = model_periods.model_name
    group by all
),

-- A release is no drift: a version that came after the model's baseline has one of its own.
score_periods as (
    select
        versions.model_name,
        versions.model_version,
        model_periods.baseline_version,
        'score' as kind,
        'all' as role,
        model_periods.definition,
        case when {{ is_in_set }} then model_periods.set_count end as set_count,
        case
            when {{ is_in_set }} then null
            when versions.is_in_model_period then model_periods.baseline_start
            else versions.first_date
        end as baseline_start,
        case
            when {{ is_in_set }} then null
            when versions.is_in_model_period then model_periods.baseline_end
            else
                (versions.first_date + to_days({{ settings().version_baseline_days }}))::date
        end as baseline_end
    from versions
    inner join model_periods on versions.model_name = model_periods.model_name
    left join training_sets
        on
            model_periods.model_name = training_sets.model_name
            and model_periods.baseline_version = training_sets.baseline_version
),

periods as (
    select * from model_periods
    union all by name
    select * from score_periods
),

counted as (
    select
        periods.*,
        coalesce(any_value(periods.set_count), sum(predictions.prediction_count), 0)::bigint
            as prediction_count
    from periods
    left join predictions
        on
            periods.model_name = predictions.model_name
            and periods.model_version in ('all', predictions.model_version)
            and periods.role in ('all', predictions.role)
            and periods.baseline_start <= predictions.event_date
            and periods.baseline_end > predictions.event_date
    group by all
)

select
    counted.model_name,
    counted.model_version,
    counted.baseline_version,
    counted.kind,
    counted.role,
    counted.definition,
    counted.baseline_start,
    counted.baseline_end,
    counted.prediction_count,
    case
        -- A training set is complete when it is read.
        when counted.set_count is not null then clock.as_of
        when
            counted.prediction_count > 0
            and clock.as_of
            >= counted.baseline_end + to_days({{ settings().baseline_grace_days }})
            then clock.as_of
    end as frozen_at
from counted
cross join {{ ref('int_as_of') }} as clock
{{ where_not_held(this if is_incremental() else none, {
    'model_name': 'counted.model_name',
    'model_version': 'counted.model_version',
    'baseline_version': 'counted.baseline_version',
}) }}
