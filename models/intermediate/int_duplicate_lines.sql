-- Grain: one valid line of an inference event whose identity another line has won.
-- Only identities that a file read in this run holds, or that were contested before, can have
-- changed; the table is made anew from those.
{% set before = as_left_by_last_build('int_duplicate_lines') if not flags.FULL_REFRESH %}

with

valid_lines as (
    select *
    from {{ ref('stg_inference_lines') }}
    where line_number > 0 and reject_reason is null
),

changed_files as ( -- noqa: ST03
    select file_path
    from {{ ref('stg_landing_files') }}
    where input = 'inference_events' and is_changed
),

candidates as (
    {% if before %}
    select identity_hash
    from valid_lines
    where file_path in (select file_path from changed_files)
    union
    select identity_hash from {{ before }}
    {% else %}
    select distinct identity_hash from valid_lines
    {% endif %}
),

contested as (
    select identity_hash
    from valid_lines
    where identity_hash in (select identity_hash from candidates)
    group by identity_hash
    having count(*) > 1
),

ranked as (
    select
        identity_hash,
        file_path,
        line_number,
        model_name,
        ts,
        -- The winner must not depend on arrival: the earliest, then the least content. Equal
        -- content makes an equal winner, wherever it stands.
        row_number() over (
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
        ) as place
    from valid_lines
    where identity_hash in (select identity_hash from contested)
)

select
    identity_hash,
    file_path,
    line_number,
    model_name,
    ts
from ranked
where place > 1
