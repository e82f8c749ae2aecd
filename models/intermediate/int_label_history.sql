-- Grain: one valid label line and event that it belongs to; one row without an event while
-- there is none. Every version of a label is kept with the time for which it was the newest, so
-- that what was known at a moment T is: labeled_at <= T < known_until.
{{ config(
    materialized=of_event_size('incremental'),
    incremental_strategy='append',
    pre_hook="{% if is_incremental() %}
        delete from {{ this }}
        where
            request_hash in (select request_hash from {{ ref('int_affected_requests') }})
            {% if kept_since('raw') %}
            -- What was matched with events that are gone stays, as long as its file does.
            and (
                coalesce({{ is_kept('event_date') }}, true)
                or label_file_path in (
                    select file_path from {{ ref('stg_landing_files') }}
                    where input = 'labels' and is_known and (is_changed or is_gone)
                )
            )
            {% endif %}
    {% endif %}",
) }}
-- depends_on: {{ ref('int_affected_requests') }}
-- depends_on: {{ ref('stg_landing_files') }}
{% set label_dates = 'select labeled_on from ' ~ ref('stg_label_lines') ~ ' where '
    ~ is_affected() %}
{% set event_dates = 'select event_date from ' ~ ref('stg_inference_lines') ~ ' where '
    ~ is_affected() %}
{% set is_matched = '(file_path, line_number) in (select (label_file_path, label_line_number)'
    ~ ' from ' ~ this ~ ')' if is_incremental() and kept_since('raw') else 'false' %}

with

labels as (
    select *
    from {{ ref('stg_label_lines') }}
    where
        line_number > 0
        {% if is_incremental() %}
        and {{ is_affected() }}
        and {{ is_one_of('labeled_on', label_dates) }}
        {% endif %}
        and reject_reason is null
        and not {{ is_matched }}
),

-- Those from the future are here too, so that it shows when their time has come.
events as (
    select
        valid_events.*,
        clock.held_after,
        valid_events.ts > clock.held_after as is_held
    from {{ ref('stg_valid_events') }} as valid_events
    cross join {{ ref('int_as_of') }} as clock
    {% if is_incremental() %}
    where
        valid_events.{{ is_affected() }}
        and {{ is_one_of('valid_events.event_date', event_dates) }}
    {% endif %}
),

pairs as (
    select
        labels.file_path as label_file_path,
        labels.line_number as label_line_number,
        labels.request_hash,
        labels.request_id,
        coalesce(events.model_name, labels.model_name) as model_name,
        events.model_version,
        events.role,
        events.ts as event_ts,
        events.event_date,
        events.file_path as event_file_path,
        events.line_number as event_line_number,
        labels.label_number,
        labels.label_text,
        labels.labeled_at,
        events.is_held,
        events.held_after as built_until,
        models.task,
        -- A label that names no model belongs to the one model that has its request.
        (
            min(case when not events.is_held then events.model_name end) over label_line
            is distinct from
            max(case when not events.is_held then events.model_name end) over label_line
        ) as is_ambiguous
    from labels
    left join events
        on
            labels.request_hash = events.request_hash
            and labels.request_id = events.request_id
            and (labels.model_name is null or labels.model_name = events.model_name)
    left join {{ ref('int_monitored_models') }} as models
        on events.model_name = models.model_name
    window label_line as (partition by labels.file_path, labels.line_number)
),

matched as (
    select
        * exclude (task, is_ambiguous, is_held),
        case
            when event_ts is null then 'unmatched'
            when is_held then 'held'
            when is_ambiguous then 'ambiguous_model'
            when task = 'binary_classification' and coalesce(label_number, -1) not in (0, 1)
                then 'invalid_label'
            when task = 'regression' and label_number is null then 'invalid_label'
            else 'matched'
        end as match_status
    from pairs
),

repeated as (
    select
        *,
        row_number() over (
            partition by
                request_id, model_name, model_version, role, match_status, labeled_at,
                label_number, label_text
            order by label_file_path, label_line_number
        ) > 1 as is_duplicate
    from matched
),

final as (
    select
        *,
        lead(labeled_at) over versions as known_until,
        lag(labeled_at) over versions is not null
        and (
            label_number is distinct from lag(label_number) over versions
            or label_text is distinct from lag(label_text) over versions
        ) as is_correction
    from repeated
    window versions as (
        partition by
            request_id, model_name, model_version, role, match_status, is_duplicate
        -- Of two versions of one moment the greater content is the newer one.
        order by labeled_at, label_number, label_text
    )
)

select * from final
