-- Grain: one event_date, model_name, model_version, role, score bin, known_on and replaced_on: the
-- errors of labelled predictions of a regression, with the midnights from which their label counts
-- as known and as replaced by a newer one.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={
        'settings': ['drift_bins'],
        'retention': {'kind': 'days', 'key': 'rows.event_date', 'raw_key': 'rows.event_date'},
    },
    pre_hook="{{ forget_stale(ref('int_estimation_dates'), ['event_date']) }}",
) }}
{% set regressions = monitored_models() | selectattr('task', 'equalto', 'regression') | list %}

with

stale_dates as (
    {{ stale_keys(ref('int_estimation_dates'), ['event_date']) }}
),

labels as (
    select
        history.*,
        case when history.known_until <= clock.held_after then history.known_until end
            as replaced_at
    from {{ ref('int_label_history') }} as history
    cross join {{ ref('int_as_of') }} as clock
    where
        history.match_status = 'matched'
        and not history.is_duplicate
        and history.labeled_at <= clock.held_after
        and {{ is_stale('history.event_date', ref('int_estimation_dates'), 'event_date') }}
        -- Where no model is a regression nothing needs to be read.
        and {{ 'true' if regressions else 'false' }}
),

searched as (
    select
        events.event_date,
        events.model_name,
        events.model_version,
        events.role,
        events.score,
        stale_dates.revision,
        events.score - labels.label_number as error,
        {{ known_on('labels.labeled_at', 'stale_dates.event_date', 'models.label_grace_hours') }}
            as known_on,
        case
            when labels.replaced_at is not null
                then {{ known_on(
                    'labels.replaced_at', 'stale_dates.event_date', 'models.label_grace_hours'
                ) }}
        end as replaced_on,
        {{ estimation_edges() }} as edges,
        0 as below
    from {{ ref('stg_inference_events') }} as events
    inner join stale_dates on events.event_date = stale_dates.event_date
    inner join {{ ref('int_monitored_models') }} as models
        on events.model_name = models.model_name and models.task = 'regression'
    inner join labels
        on
            events.request_hash = labels.request_hash
            and events.model_name = labels.model_name
            and events.model_version = labels.model_version
            and events.role = labels.role
            and events.request_id = labels.request_id
    where
        events.status < 400
        and isfinite(events.score)
        and {{ is_stale('events.event_date', ref('int_estimation_dates'), 'event_date') }}
        and {{ 'true' if regressions else 'false' }}
),

-- A binary search: how many edges are below the predicted value?
{% for step in search_steps([most_score_edges(), 2 * settings().drift_bins] | max) %}
searched_{{ step }} as (
    select
        * replace (
            below + case when edges[below + {{ step }}] < score then {{ step }} else 0 end
                as below
        )
    from {{ 'searched' if loop.first else 'searched_' ~ 2 * step }}
    {{ 'where replaced_on is null or replaced_on > known_on' if loop.first }}
){{ ',' if not loop.last }}
{% endfor %}

select
    model_name,
    model_version,
    role,
    known_on,
    replaced_on,
    below as score_bin,
    count(*) as labeled_count,
    -- In one order: a parallel sum of doubles differs from run to run.
    sum(abs(error) order by abs(error)) as absolute_error_sum,
    sum(error * error order by abs(error)) as squared_error_sum,
    event_date,
    revision
from searched_1
where len(edges) > 0 and isfinite(error * error)
group by all
