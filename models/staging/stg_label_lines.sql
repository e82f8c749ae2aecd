-- Grain: one line of a label file; line 0 is the reader's report of the file.
{{ config(
    materialized=of_event_size('incremental'),
    incremental_strategy='append',
    pre_hook=["{{ forget_changed_files('labels') }}", "{{ plan_landing('labels') }}"],
) }}
-- depends_on: {{ ref('stg_landing_files') }}

{% set shape = {'request_id': 'JSON', 'label': 'JSON', 'labeled_at': 'JSON', 'model': 'JSON'} %}

with

lines as (
    {{ input_lines('labels') }}
),

records as (
    select
        *,
        {{ json_record('line', shape) }} as record
    from lines
),

typed_lines as (
    select
        file_path,
        line_number,
        file_line_count,
        file_problem,
        line,
        record is not null and starts_with(ltrim(line, e' \t\r\n'), '{') as is_record,
        {{ json_text('record.request_id') }} as request_id,
        {{ json_text('record.model') }} as model_name,
        {{ json_number('record.label') }} as label_number,
        {{ json_text('record.label') }} as label_text,
        {{ json_text('record.labeled_at') }} as labeled_at_text,
        {% for name in shape %}
        record.{{ name }} is not null as has_{{ name }},
        {% endfor %}
        {{ rfc3339_timestamp('labeled_at_text') }} as labeled_at
    from records
),

typed_rows as (
    {% if input_relation('labels') %}
    select * from typed_lines where false
    {% else %}
    select
        file_path,
        line_number,
        file_line_count,
        file_problem,
        null::varchar as line,
        true as is_record,
        request_id,
        model as model_name,
        label_number,
        label_text,
        null::varchar as labeled_at_text,
        case when year(labeled_at) between 2000 and 9999 then labeled_at end as labeled_at,
        request_id is not null as has_request_id,
        label_number is not null or label_text is not null as has_label,
        labeled_at is not null as has_labeled_at,
        model is not null as has_model
    from {{ source('landing', 'labels_rows') }}
    {% endif %}
),

typed as (
    select * from typed_lines
    union all by name
    select * from typed_rows
),

final as (
    select
        file_path,
        line_number,
        {{ load_number() }} as load_number,
        file_line_count,
        file_problem,
        case
            when line_number = 0 then null
            when not is_record then 'malformed'
            when not has_request_id then 'missing_request_id'
            when coalesce(request_id, '') = '' then 'invalid_request_id'
            when not has_label then 'missing_label'
            when
                (label_number is null or not isfinite(label_number))
                and coalesce(label_text, '') = ''
                then 'invalid_label'
            when not has_labeled_at then 'missing_labeled_at'
            when labeled_at is null then 'invalid_labeled_at'
            when has_model and coalesce(model_name, '') = '' then 'invalid_model'
        end as reject_reason,
        case when reject_reason is not null then line end as raw_line,
        request_id,
        model_name,
        label_number,
        label_text,
        labeled_at,
        -- Stored, since labels are looked for by it.
        date_trunc('day', labeled_at)::date as labeled_on,
        {{ hash64(['request_id']) }} as request_hash
    from typed
)

select * from final
