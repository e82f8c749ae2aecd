-- Grain: one identity of inference events that several valid lines have, of those that this run has
-- to judge: the identities of the lines that it read, and those that a line which is gone had won
-- or lost (these also where one line or none is left).
-- depends_on: {{ ref('stg_landing_files') }}
{% set judged = as_left_by_last_build('int_duplicate_lines') if not flags.FULL_REFRESH %}

with

valid_lines as (
    select
        identity_hash,
        event_date,
        load_number
    from {{ ref('stg_inference_lines') }}
    where line_number > 0 and reject_reason is null
),

{% if judged %}
candidates as (
    select
        identity_hash,
        false as was_contested
    from valid_lines
    where load_number = {{ load_number() }}
    union all
    select
        judged.identity_hash,
        true as was_contested
    from {{ judged }} as judged
    inner join {{ ref('stg_landing_files') }} as files
        on
            files.file_path in (judged.file_path, judged.winner_file_path)
            and files.input = 'inference_events'
            and files.is_known
            and (files.is_changed or files.is_gone)
),

identities as (
    select
        identity_hash,
        bool_or(was_contested) as was_contested
    from candidates
    group by identity_hash
),

counted as (
    select
        identities.identity_hash,
        count(valid_lines.identity_hash) as line_count,
        list(distinct valid_lines.event_date) as event_dates
    from identities
    left join valid_lines on identities.identity_hash = valid_lines.identity_hash
    group by identities.identity_hash
    having count(valid_lines.identity_hash) > 1 or any_value(identities.was_contested)
)
{% else %}
counted as (
    select
        identity_hash,
        count(*) as line_count,
        list(distinct event_date) as event_dates
    from valid_lines
    group by identity_hash
    having count(*) > 1
)
{% endif %}

select * from counted
