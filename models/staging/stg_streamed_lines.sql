-- Grain: one valid line of an inference-event file, of an event in the streaming lookback. Line 0
-- notes that the file was read and how it was then: the ledger, which comes and goes with the
-- lines. Judged as in stg_inference_lines, by the same macros.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    tags=['streaming'],
    pre_hook=["{{ forget_streamed_lines() }}", "{{ plan_streaming() }}"],
    post_hook="{{ forget_what_left() }}",
) }}
-- depends_on: {{ ref('stg_streamed_files') }}

{% set fields = ['request_id', 'model', 'model_version', 'role', 'ts', 'status', 'latency_ms',
                 'inference_time_ms'] %}

with

lines as (
    {{ streamed_input_lines() }}
),

records as (
    select
        *,
        {{ json_record('line', dict.fromkeys(fields, 'JSON')) }} as record
    from lines
    where line_number > 0
),

typed_lines as (
    select
        file_path,
        line_number,
        {{ event_from_record() }},
        {% for name in fields %}
        record.{{ name }} is not null as has_{{ name }},
        {% endfor %}
        {{ hash64(['line']) }} as row_hash
    from records
),

typed_rows as (
    {% if input_relation('inference_events') %}
    select * from typed_lines where false
    {% else %}
    select
        file_path,
        line_number,
        {{ event_from_row() }},
        {% for name in fields %}
        {{ name }} is not null as has_{{ name }},
        {% endfor %}
        {{ hash64(fields) }} as row_hash
    from {{ source('landing', 'streamed_events_rows') }}
    where line_number > 0
    {% endif %}
),

typed as (
    select * from typed_lines -- noqa: AM07
    union all by name
    select * from typed_rows
),

-- Materialized: a filter on what is parsed would parse twice.
judged as materialized (
    select
        *,
        {{ event_reject_reason() }} as reject_reason,
        {{ latency_issue() }} as latency_issue,
        {{ inference_time_issue() }} as inference_time_issue,
        {{ identity_hash() }} as identity_hash
    from typed
),

valid as (
    select
        file_path,
        line_number,
        request_id,
        model_name,
        model_version,
        role,
        ts,
        -- Stored, as the hours of the main path are: a minute's lines are found by it.
        date_trunc('minute', ts) as event_minute,
        status::smallint as status,
        case when latency_issue is null then latency_ms end as latency_ms,
        case when inference_time_issue is null then inference_time_ms end as inference_time_ms,
        identity_hash,
        row_hash
    from judged
    where
        reject_reason is null
        and ts >= {{ streaming_start() }}
        and ts <= {{ streaming_held_after() }}
        -- What repeats an older line has lost to it.
        and identity_hash not in (
            {{ identities_that_leave('judged') }} and leaving.reject_reason is null
            {% if is_incremental() %}
            union all
            {{ identities_that_leave(this) }}
            {% endif %}
        )
),

-- Identities that have several lines are looked for among these alone: finding them anew among all
-- lines would take longer than reading a minute.
repeated as (
    select identity_hash
    from valid
    group by identity_hash
    having count(*) > 1
    {% if is_incremental() %}
    union all
    select held.identity_hash
    from {{ this }} as held
    where held.identity_hash in (select valid.identity_hash from valid)
    {% endif %}
),

ledger as (
    select
        file_path,
        0::bigint as line_number,
        file_size,
        modified_at,
        file_revision
    from {{ ref('stg_streamed_files') }}
    where not is_gone
)

select -- noqa: AM07
    valid.*,
    valid.identity_hash in (select repeated.identity_hash from repeated) as is_repeat,
    null::bigint as file_size,
    null::timestamp as modified_at,
    null::ubigint as file_revision
from valid
union all by name
select * from ledger
