-- Grain: one date with events that labels were matched to, and the fingerprint of all that is known
-- of these labels; null where they have gone. Only dates are looked at again of which a label or
-- an event has changed, or a label that was held has come of age.
{{ config(
    materialized='incremental', incremental_strategy='delete+insert', unique_key='event_date'
) }}
-- depends_on: {{ ref('int_affected_requests') }}
-- depends_on: {{ ref('int_as_of') }}
{% set affected = ref('int_affected_requests') %}
{% set changed_dates = [
    'select event_date from ' ~ ref('int_label_history') ~ ' where '
        ~ (is_affected() if is_incremental() else 'true')
] %}
{% if is_incremental() %}
{% do changed_dates.append('select event_date from ' ~ affected) %}
{% do changed_dates.append(
    'select event_date from ' ~ this ~ ' where next_change_at <= (select held_after from '
    ~ ref('int_as_of') ~ ')'
) %}
{% endif %}
{% set changed_dates = changed_dates | join(' union ') %}

with

changed_dates as (
    select distinct event_date
    from ({{ changed_dates }})
    where event_date is not null
),

labels as (
    select
        history.*,
        clock.held_after,
        case when history.known_until <= clock.held_after then history.known_until end
            as replaced_at
    from {{ ref('int_label_history') }} as history
    cross join {{ ref('int_as_of') }} as clock
    where
        history.match_status = 'matched'
        and not history.is_duplicate
        and history.event_date in (select event_date from changed_dates)
        and {{ is_one_of('history.event_date', changed_dates if is_incremental()) }}
),

revisions as (
    select
        event_date,
        {{ fingerprint(hash64([
            'request_hash', 'model_name', 'model_version', 'role', 'label_number', 'label_text',
            'labeled_at', 'replaced_at',
        ])) }} as revision
    from labels
    where labeled_at <= held_after
    group by event_date
),

coming as (
    select
        event_date,
        min(case when labeled_at > held_after then labeled_at else known_until end)
            as next_change_at
    from labels
    where labeled_at > held_after or known_until > held_after
    group by event_date
)

select
    changed_dates.event_date,
    revisions.revision,
    coming.next_change_at
from changed_dates
left join revisions on changed_dates.event_date = revisions.event_date
left join coming on changed_dates.event_date = coming.event_date
