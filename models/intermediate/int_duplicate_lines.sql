-- Grain: one valid line of an inference event whose identity another line has won.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{% if is_incremental() %}
        delete from {{ this }}
        where {{ is_kept('ts') }} and identity_hash in (
            select identity_hash from {{ ref('int_contested_identities') }}
        )
    {% endif %}",
) }}
-- depends_on: {{ ref('int_contested_identities') }}
{% set contested_dates = 'select unnest(event_dates) from ' ~ ref('int_contested_identities') %}

with

contested_lines as (
    select lines.*
    from {{ ref('stg_inference_lines') }} as lines
    where
        lines.line_number > 0
        and lines.reject_reason is null
        and lines.identity_hash in (
            select identity_hash from {{ ref('int_contested_identities') }}
        )
        and {{ is_one_of('lines.event_date', contested_dates if is_incremental()) }}
),

ranked as (
    select
        identity_hash,
        file_path,
        line_number,
        model_name,
        ts,
        row_hash,
        load_number,
        -- The winner must not depend on arrival: the earliest, then the least content. Equal
        -- content makes an equal winner, wherever it stands.
        row_number() over identity as place,
        first_value(file_path) over identity as winner_file_path
    from contested_lines
    window identity as (
        partition by identity_hash, request_id, model_name, model_version, role
        order by
            ts,
            md5(to_json(struct_pack(
                status := status,
                latency_ms := latency_ms,
                inference_time_ms := inference_time_ms,
                score := score,
                prediction := prediction,
                numerical_features := numerical_features,
                categorical_features := categorical_features,
                attributes := attributes,
                field_issues := field_issues
            ))::varchar),
            file_path,
            line_number
    )
)

select
    identity_hash,
    file_path,
    line_number,
    model_name,
    ts,
    row_hash,
    load_number,
    winner_file_path
from ranked
where place > 1 and {{ is_kept('ts') }}
