-- Grain: one labelled prediction and version of its label, with the columns that custom metrics
-- over labels may use, the slices that it is in, and the midnights from which the label counts as
-- known and as replaced by a newer one. Of classifiers of two classes and of regressions.
{{ config(materialized='view', schema='restricted') }}

with

labels as (
    {{ matched_labels() }}
),

labelled as (
    select
        events.*,
        labels.label_number as label,
        {{ known_on('labels.labeled_at', 'events.event_date', 'models.label_grace_hours') }}
            as known_on,
        case
            when labels.replaced_at is not null
                then {{ known_on(
                    'labels.replaced_at', 'events.event_date', 'models.label_grace_hours'
                ) }}
        end as replaced_on
    from {{ ref('int_custom_events') }} as events
    inner join {{ ref('int_monitored_models') }} as models
        on
            events.model_name = models.model_name
            and models.task in ('binary_classification', 'regression')
    inner join labels
        on
            events.request_hash = labels.request_hash
            and events.event_date = labels.event_date
            and events.model_name = labels.model_name
            and events.model_version = labels.model_version
            and events.role = labels.role
            and events.request_id = labels.request_id
)

select * from labelled
-- A version that was replaced before any window could count it.
where replaced_on is null or replaced_on > known_on
