-- Grain: one line of an inference-event file; line 0 is the reader's report of the file.
-- Every line is here, typed and judged by itself. Duplicates, and lines from the future, are
-- told apart later, since they depend on other lines and on the time of the build.
{{ config(
    materialized=of_event_size('incremental'),
    incremental_strategy='append',
    pre_hook=["{{ forget_changed_files('inference_events') }}",
              "{{ plan_landing('inference_events') }}"],
) }}
-- depends_on: {{ ref('stg_landing_files') }}

{% set structs = event_structs() %}
{% set feature_names = structs.numerical_features | list + structs.categorical_features | list %}
{% set raw_features = dict.fromkeys(feature_names, 'JSON') %}
{% set raw_attributes = dict.fromkeys(structs.attributes, 'JSON') %}
{% set scalars = [
    'request_id', 'model', 'model_version', 'role', 'ts', 'status', 'latency_ms',
    'inference_time_ms', 'score', 'prediction', 'feature_hash', 'trace_id',
] %}
{% set objects = ['features', 'attributes', 'upstream', 'preprocessing'] %}
{% set shape = dict.fromkeys(scalars + ['upstream', 'preprocessing'], 'JSON') %}
{% do shape.update({'features': raw_features or {'(none)': 'JSON'}}) %}
{% do shape.update({'attributes': raw_attributes or {'(none)': 'JSON'}}) %}
{% set parts = [
    {'prefix': 'features', 'raw': 'record.features', 'typed': 'numerical_features',
     'members': structs.numerical_features},
    {'prefix': 'features', 'raw': 'record.features', 'typed': 'categorical_features',
     'members': structs.categorical_features},
    {'prefix': 'attributes', 'raw': 'record.attributes', 'typed': 'attributes',
     'members': structs.attributes},
] %}
{% set model_names = monitored_models() | map(attribute='name') | list %}
{% set classifiers = monitored_models() | rejectattr('task', 'equalto', 'regression')
    | map(attribute='name') | list %}

with

lines as (
    {{ input_lines('inference_events') }}
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
        {{ event_from_record() }},
        {{ json_number('record.score') }} as score,
        case
            when starts_with(record.prediction::varchar, '"')
                then {{ json_text('record.prediction') }}
            else {{ class_name(json_number('record.prediction')) }}
        end as prediction,
        {{ json_text('record.feature_hash') }} as feature_hash,
        {{ typed_struct('record.features', structs.numerical_features) }} as numerical_features,
        {{ typed_struct('record.features', structs.categorical_features) }}
            as categorical_features,
        {{ typed_struct('record.attributes', structs.attributes) }} as attributes,
        {% for name in ['upstream', 'preprocessing'] %}
        record.{{ name }}::varchar as {{ name }},
        {% endfor %}

        {% for name in scalars %}
        record.{{ name }} is not null as has_{{ name }},
        {% endfor %}
        {% for name in ['features', 'attributes'] %}
        -- What is no object reads as a struct of nulls: only then is it worth a second look. A case
        -- looks only then; both sides of an `and` are computed for every row.
        case
            when {{ is_empty_struct('record.' ~ name, shape[name]) }}
                then {{ is_other_than_object('line', name) }}
            else false
        end as is_wrong_{{ name }},
        {% endfor %}
        {% for name in ['upstream', 'preprocessing'] %}
        not starts_with(coalesce(record.{{ name }}::varchar, '{'), '{') as is_wrong_{{ name }},
        {% endfor %}
        not starts_with(coalesce(record.trace_id::varchar, '"'), '"') as is_wrong_trace_id,
        not regexp_full_match(
            coalesce(record.feature_hash::varchar, '"{{ '0' * 64 }}"'), '"[0-9a-f]{64}"'
        ) as is_wrong_feature_hash,
        case
            when {{ count_untyped(parts) }} > 0 then nullif({{ struct_issues(parts) }}, [])
        end as struct_issues,
        {{ hash64(['line']) }} as row_hash
    from records
),

typed_rows as (
    {% if input_relation('inference_events') %}
    select * exclude (line, ts_text), line from typed_lines where false
    {% else %}
    select
        file_path,
        line_number,
        file_line_count,
        file_problem,
        null::varchar as line,
        {{ event_from_row() }},
        score,
        prediction,
        {{ numbers_of_row(structs.numerical_features) }} as numerical_features,
        categorical_features,
        attributes,
        upstream,
        preprocessing,

        {% for name in scalars %}
        {{ name ~ ' is not null' if name not in ['feature_hash', 'trace_id'] else 'false' }}
            as has_{{ name }},
        {% endfor %}
        {% for name in objects + ['trace_id', 'feature_hash'] %}
        -- Columns of another type make the reader render the file as lines.
        false as is_wrong_{{ name }},
        {% endfor %}
        null as struct_issues,
        {{ hash64(['request_id', 'model', 'model_version', 'role', 'ts', 'status', 'latency_ms',
                   'inference_time_ms', 'score', 'prediction', 'numerical_features',
                   'categorical_features', 'attributes', 'upstream', 'preprocessing']) }}
            as row_hash
    from {{ source('landing', 'inference_events_rows') }}
    {% endif %}
),

typed as (
    select * from typed_lines
    union all by name
    select * from typed_rows
),

judged as (
    select
        *,
        coalesce(
            {{ event_reject_reason() }},
            case when not {{ is_kept('ts') }} then 'after_retention' end
        ) as reject_reason,
        {{ latency_issue() }} as latency_issue,
        {{ inference_time_issue() }} as inference_time_issue,
        case
            when has_score and model_name in ({{ text_literals(classifiers or ['']) }})
                then {{ number_issue('score', 'true', 0, 1) }}
            when has_score then {{ number_issue('score', 'true') }}
            when status < 400 and model_name in ({{ text_literals(model_names) }}) then 'missing'
        end as score_issue,
        case when has_prediction and prediction is null then 'wrong_type' end as prediction_issue
    from typed
),

final as (
    select
        file_path,
        line_number,
        {{ load_number() }} as load_number,
        file_line_count,
        file_problem,
        reject_reason,
        case when reject_reason is not null then line end as raw_line,

        request_id,
        model_name,
        model_version,
        role,
        ts,
        -- Stored, since summaries join them: then only what their days lie in is read.
        date_trunc('hour', ts) as event_hour,
        date_trunc('day', ts)::date as event_date,
        case when reject_reason is null then status::smallint end as status,
        case when latency_issue is null then latency_ms end as latency_ms,
        case when inference_time_issue is null then inference_time_ms end as inference_time_ms,
        case when score_issue is null then score end as score,
        prediction,
        numerical_features,
        categorical_features,
        attributes,
        {% for name in ['upstream', 'preprocessing'] %}
        -- As JSON text: what is in it differs from service to service.
        case
            when reject_reason is null and not is_wrong_{{ name }} then nullif({{ name }}, '{}')
        end as {{ name }},
        {% endfor %}
        case
            when reject_reason is null and line_number > 0 and (
                coalesce(
                    latency_issue, inference_time_issue, score_issue, prediction_issue
                ) is not null
                or is_wrong_features or is_wrong_attributes or is_wrong_upstream
                or is_wrong_preprocessing or is_wrong_trace_id or is_wrong_feature_hash
                or struct_issues is not null
            ) then list_filter([
                struct_pack(field := 'latency_ms', issue := latency_issue),
                struct_pack(field := 'inference_time_ms', issue := inference_time_issue),
                struct_pack(field := 'score', issue := score_issue),
                struct_pack(field := 'prediction', issue := prediction_issue),
                {% for name in objects + ['trace_id', 'feature_hash'] %}
                struct_pack(
                    field := '{{ name }}',
                    issue := case
                        when is_wrong_{{ name }} then
                            '{{ 'invalid_format' if name == 'feature_hash' else 'wrong_type' }}'
                    end
                ),
                {% endfor %}
                struct_pack(field := '', issue := null)
            ] || coalesce(struct_issues, []), lambda entry: entry.issue is not null)
        end as field_issues,

        -- Whether services hash what they log is looked at in one event of sixteen.
        case
            when reject_reason is null and {{ is_hash_checked() }}
                then struct_pack(
                    feature_hash := feature_hash,
                    features := json_extract(line, '$.features')::varchar
                )
        end as hashed,

        {{ identity_hash() }} as identity_hash,
        {{ hash64(['request_id']) }} as request_hash,
        row_hash
    from judged
)

select * from final
