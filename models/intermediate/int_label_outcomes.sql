-- Grain: one landing file of labels, and what became of its valid lines. Only files are looked at
-- again that this run read, or of which a label or an event has changed or came of age.
{{ config(
    materialized='incremental', incremental_strategy='delete+insert', unique_key='file_path'
) }}
-- depends_on: {{ ref('int_affected_requests') }}

with

changed_files as (
    select distinct label_file_path as file_path
    from {{ ref('int_label_history') }}
    {% if is_incremental() %}
    where {{ is_affected() }}
    union
    select label_file_path as file_path
    from {{ ref('int_affected_requests') }}
    where label_file_path is not null
    union
    select file_path
    from {{ this }}
    where next_change_at <= (select held_after from {{ ref('int_as_of') }})
    {% endif %}
),

outcomes as (
    select
        history.label_file_path as file_path,
        history.label_line_number as line_number,
        min(
            case
                when history.labeled_at > clock.held_after then history.labeled_at
                when history.known_until > clock.held_after then history.known_until
            end
        ) as next_change_at,
        case
            when any_value(history.labeled_at) > any_value(clock.held_after) then 'held'
            when bool_and(history.match_status in ('unmatched', 'held')) then 'unmatched'
            when bool_or(history.match_status in ('ambiguous_model', 'invalid_label'))
                then 'rejected'
            when bool_and(history.is_duplicate) then 'duplicate'
            when
                bool_and(
                    history.is_duplicate
                    or coalesce(history.known_until <= clock.held_after, false)
                )
                then 'superseded'
            else 'accepted'
        end as outcome
    from {{ ref('int_label_history') }} as history
    cross join {{ ref('int_as_of') }} as clock
    where history.label_file_path in (select file_path from changed_files)
    group by all
)

select
    changed_files.file_path,
    {% for outcome in ['accepted', 'duplicate', 'rejected', 'held', 'superseded', 'unmatched'] %}
    count(*) filter (where outcomes.outcome = '{{ outcome }}') as {{ outcome }}_count,
    {% endfor %}
    min(outcomes.next_change_at) as next_change_at
from changed_files
left join outcomes on changed_files.file_path = outcomes.file_path
group by changed_files.file_path
