{# CTEs up to `labelled`: the predictions of the models of a task on the stale dates, once for each
   version of a label that some window counts, with the midnights from which it is known
   (known_on) and replaced by a newer one (replaced_on). For summaries by event_date that are
   healed from the dates in `wanted`. #}
{% macro labelled_predictions(task, wanted='int_label_dates') -%}
{%- set has_task = 'true' if task in monitored_models() | map(attribute='task') else 'false' -%}
stale_dates as (
    {{ ml_monitoring.stale_keys(ref(wanted), ['event_date']) }}
),

labels as (
    {{ ml_monitoring.matched_labels() }}
        and history.event_date in (select event_date from stale_dates)
        and {{ ml_monitoring.is_stale('history.event_date', ref(wanted), 'event_date') }}
        -- Without such a model nothing needs to be read.
        and {{ has_task }}
),

all_labelled as (
    select
        events.*,
        stale_dates.revision,
        models.decision_threshold,
        models.label_grace_hours,
        labels.label_number,
        labels.label_text,
        labels.labeled_at,
        {{ ml_monitoring.known_on(
            'labels.labeled_at', 'stale_dates.event_date', 'models.label_grace_hours'
        ) }} as known_on,
        case
            when labels.replaced_at is not null
                then {{ ml_monitoring.known_on(
                    'labels.replaced_at', 'stale_dates.event_date', 'models.label_grace_hours'
                ) }}
        end as replaced_on
    from {{ ref('stg_inference_events') }} as events
    inner join stale_dates on events.event_date = stale_dates.event_date
    inner join {{ ref('int_monitored_models') }} as models
        on events.model_name = models.model_name and models.task = '{{ task }}'
    inner join labels
        on
            events.request_hash = labels.request_hash
            and events.model_name = labels.model_name
            and events.model_version = labels.model_version
            and events.role = labels.role
            and events.request_id = labels.request_id
    where
        events.status < 400
        and {{ ml_monitoring.is_stale('events.event_date', ref(wanted), 'event_date') }}
        and {{ has_task }}
),

-- Without versions that were replaced before any window could count them.
labelled as (
    select *
    from all_labelled
    where replaced_on is null or replaced_on > known_on
)
{%- endmacro %}
