-- Grain: one event_date, model_name, model_version and role with predictions: how many had a value
-- of the wrong type, by feature.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={'retention': {'kind': 'days', 'key': 'rows.event_date', 'raw_key': 'rows.event_date'}},
    pre_hook="{{ forget_stale(ref('int_event_dates'), ['event_date']) }}",
) }}

with

stale_dates as (
    {{ stale_keys(ref('int_event_dates'), ['event_date']) }}
),

predictions as (
    select
        events.event_date,
        events.model_name,
        events.model_version,
        events.role,
        events.field_issues,
        stale_dates.revision
    from {{ ref('stg_inference_events') }} as events
    inner join stale_dates on events.event_date = stale_dates.event_date
    where
        events.status < 400
        and {{ is_stale('events.event_date', ref('int_event_dates'), 'event_date') }}
),

issues as (
    select
        *,
        unnest(coalesce(list_filter(
            field_issues,
            lambda entry: starts_with(entry.field, 'features.') and entry.issue = 'wrong_type'
        ), [])) as entry
    from predictions
    where field_issues is not null
),

wrong as (
    select
        event_date,
        model_name,
        model_version,
        role,
        substr(entry.field, 10) as feature,
        count(*) as wrong_count
    from issues
    group by all
),

by_feature as (
    select
        event_date,
        model_name,
        model_version,
        role,
        map_from_entries(list(
            struct_pack(feature := feature, wrong_count := wrong_count) order by feature
        )) as wrong_type_counts
    from wrong
    group by all
),

counted as (
    select
        event_date,
        model_name,
        model_version,
        role,
        count(*) as prediction_count,
        revision
    from predictions
    group by all
)

select
    counted.model_name,
    counted.model_version,
    counted.role,
    counted.event_date,
    counted.prediction_count,
    by_feature.wrong_type_counts,
    counted.revision
from counted
left join by_feature using (event_date, model_name, model_version, role)
