-- Grain: one baseline_version of the features of a model_name (model_version `all`) or of the
-- scores of one model_version.
with

predictions as (
    select
        model_name,
        model_version,
        role,
        event_date,
        request_count - error_count as prediction_count
    from {{ ref('int_service_days') }}
    where slice_key = 'all'
),

-- What is known of the dates of the baseline now.
known as (
    select
        periods.model_name,
        periods.model_version,
        periods.baseline_version,
        sum(predictions.prediction_count)::bigint as prediction_count
    from {{ ref('int_baseline_periods') }} as periods
    inner join predictions
        on
            periods.model_name = predictions.model_name
            and periods.model_version in ('all', predictions.model_version)
            and periods.role in ('all', predictions.role)
            and predictions.event_date >= periods.baseline_start
            and predictions.event_date < periods.baseline_end
    group by all
)

select
    periods.model_name,
    periods.model_version,
    periods.role,
    periods.baseline_version,
    periods.kind,
    periods.baseline_start::timestamp as baseline_start,
    periods.baseline_end::timestamp as baseline_end,
    periods.frozen_at,
    periods.definition,
    periods.prediction_count,
    -- A training set has no dates that predictions could come late for.
    case
        when periods.baseline_start is null then 0
        else coalesce(known.prediction_count, 0) - periods.prediction_count
    end as late_count,
    models.baseline_version is not null as is_in_force
from {{ ref('int_baseline_periods') }} as periods
left join known using (model_name, model_version, baseline_version)
left join {{ ref('int_monitored_models') }} as models using (model_name, baseline_version)
