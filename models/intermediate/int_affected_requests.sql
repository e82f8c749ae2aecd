-- Grain: one request whose labels may have to be matched anew: an event or a label of it stood
-- or stands in a file that this run reads, or that is gone.
-- depends_on: {{ ref('int_as_of') }}
{% set history = as_left_by_last_build('int_label_history') if not flags.FULL_REFRESH %}

with

files as (
    select
        input,
        file_path,
        is_changed
    from {{ ref('stg_landing_files') }}
    where is_changed or is_gone
),

final as (
    select request_hash
    from {{ ref('stg_inference_lines') }}
    where
        line_number > 0
        and file_path in (select file_path from files where input = 'inference_events')
    union
    select request_hash
    from {{ ref('stg_label_lines') }}
    where
        line_number > 0
        and file_path in (select file_path from files where input = 'labels')
    {% if history %}
    union
    select request_hash
    from {{ history }}
    where
        label_file_path in (select file_path from files where input = 'labels')
        or event_file_path in (select file_path from files where input = 'inference_events')
    union
    -- An event that was from the future when its label was matched, and is no more.
    select history.request_hash
    from {{ history }} as history
    cross join {{ ref('int_as_of') }} as clock
    where history.event_ts > history.built_until and history.event_ts <= clock.held_after
    {% endif %}
)

select request_hash from final
