{# What is read of an event by both paths, the main one and streaming: who, when, how it went. #}

{# From a line: `record` is the struct of its raw JSON texts. #}
{% macro event_from_record() -%}
        record is not null and starts_with(ltrim(line, e' \t\r\n'), '{') as is_record,

        {{ ml_monitoring.json_text('record.request_id') }} as request_id,
        {{ ml_monitoring.json_text('record.model') }} as model_name,
        {{ ml_monitoring.json_text('record.model_version') }} as model_version,
        case
            when record.role is null then 'live' else {{ ml_monitoring.json_text('record.role') }}
        end as role,
        {{ ml_monitoring.json_text('record.ts') }} as ts_text,
        {{ ml_monitoring.rfc3339_timestamp('ts_text') }} as ts,
        {{ ml_monitoring.json_number('record.status') }} as status,
        {{ ml_monitoring.json_number('record.latency_ms') }} as latency_ms,
        {{ ml_monitoring.json_number('record.inference_time_ms') }} as inference_time_ms
{%- endmacro %}


{# From a row of a Parquet file, whose columns the reader has typed. #}
{% macro event_from_row() -%}
        true as is_record,

        request_id,
        model as model_name,
        model_version,
        coalesce(role, 'live') as role,
        null::varchar as ts_text,
        case when year(ts) between 2000 and 9999 then ts end as ts,
        status::double as status,
        latency_ms,
        inference_time_ms
{%- endmacro %}


{# Why a line cannot be used, the first reason that applies; null where it can. #}
{% macro event_reject_reason() -%}
        case
            when line_number = 0 then null
            when not is_record then 'malformed'
            {%- for column, name in [('request_id', 'request_id'), ('model_name', 'model'),
                                     ('model_version', 'model_version')] %}
            when not has_{{ name }} then 'missing_{{ name }}'
            when coalesce({{ column }}, '') = '' then 'invalid_{{ name }}'
            {%- endfor %}
            when role is null or role not in ('live', 'shadow') then 'invalid_role'
            when not has_ts then 'missing_ts'
            when ts is null then 'invalid_ts'
            when not has_status then 'missing_status'
            when coalesce(status, 0) not between 100 and 599 or status % 1 <> 0
                then 'invalid_status'
        end
{%- endmacro %}


{# What is wrong with the times that an event took. #}
{% macro latency_issue() -%}
        case
            when has_latency_ms then {{ ml_monitoring.number_issue('latency_ms', 'true', 0, '1e9') }}
            else 'missing'
        end
{%- endmacro %}

{% macro inference_time_issue() -%}
        {{ ml_monitoring.number_issue('inference_time_ms', 'has_inference_time_ms', 0, '1e9') }}
{%- endmacro %}


{# Who an event is of: one hash of what two lines of one event share. #}
{% macro identity_hash() -%}
    {{ ml_monitoring.hash64(['request_id', 'model_name', 'model_version', 'role']) }}
{%- endmacro %}
