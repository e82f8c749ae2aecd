{# Hooks of stg_streamed_lines. Before: forget the lines of files that are to be read anew or are
   gone, what the ledger need not know any more, and what repeats a line that leaves the lookback in
   this run: it has lost to it and must not come back as a winner. After: forget those that leave. #}
{% macro forget_streamed_lines() %}
    {% if is_incremental() and ml_monitoring.is_streaming_run() %}
        delete from {{ this }}
        where
            {%- if ml_monitoring.input_relation('inference_events') %}
            true
            {%- else %}
            modified_at < {{ ml_monitoring.streaming_files_since() }}
            or coalesce(ts >= {{ ml_monitoring.streaming_start() }}, true) and (
                file_path in (select file_path from {{ ref('stg_streamed_files') }})
                or identity_hash in ({{ ml_monitoring.identities_that_leave(this) }})
            )
            {%- endif %}
    {% endif %}
{% endmacro %}

{% macro forget_what_left() %}
    {% if is_incremental() and ml_monitoring.is_streaming_run() %}
        delete from {{ this }} where ts < {{ ml_monitoring.streaming_start() }}
    {% endif %}
{% endmacro %}

{% macro identities_that_leave(lines) -%}
    select leaving.identity_hash
    from {{ lines }} as leaving
    where leaving.ts < {{ ml_monitoring.streaming_start() }}
{%- endmacro %}


{# Pre-hook: tell the reader which files to stream. A main build asks for none. #}
{% macro plan_streaming() %}
    {% if ml_monitoring.is_streaming_run()
          and not ml_monitoring.input_relation('inference_events') %}
        select landing_plan(
            'streamed_events',
            {{ ml_monitoring.text_literal(ml_monitoring.landing_path()) }},
            list(file_path order by file_path)
        )
        from {{ ref('stg_streamed_files') }}
        where not is_gone
    {% endif %}
{% endmacro %}


{# The lines to read. Of a relation, the rows of the lookback and as much before it, since those
   may be what later ones repeat. #}
{% macro streamed_input_lines() %}
    {% set relation = ml_monitoring.input_relation('inference_events') %}
    {% if not relation %}
        select * from {{ source('landing', 'streamed_events_lines') }}
    {% else %}
        {% set types = {} %}
        {% for column in (adapter.get_columns_in_relation(relation) if execute else []) %}
            {% do types.update({column.name: column.data_type | upper}) %}
        {% endfor %}
        {% set ts = 'ts' if types.get('ts', '').startswith('TIMESTAMP')
            else "try_cast(ts as timestamptz) at time zone 'UTC'" %}
        select
            *,
            row_number() over () as line_number
        from ({{ ml_monitoring.relation_as_lines('inference_events', relation, where=
            ts ~ ' >= ' ~ ml_monitoring.as_of_plus(-2 * ml_monitoring.streaming_lookback_minutes())
            ~ ' and ' ~ ml_monitoring.is_streaming_run()
        ) }})
    {% endif %}
{% endmacro %}


{# The streamed events: of the lines of one identity the earliest, then the one with the least hash
   of its text. (The main build judges by what they say, and against all history.) #}
{% macro streamed_events() %}
    select lines.*
    from {{ ref('stg_streamed_lines') }} as lines
    where
        lines.line_number > 0
        and not exists (
            select 1
            from (
                select
                    identity_hash,
                    file_path,
                    line_number
                from {{ ref('stg_streamed_lines') }}
                where
                    line_number > 0
                    and identity_hash in (
                        select identity_hash from {{ ref('stg_streamed_lines') }} where is_repeat
                    )
                qualify row_number() over (
                    partition by identity_hash, request_id, model_name, model_version, role
                    order by ts, row_hash, file_path, line_number
                ) > 1
            ) as duplicates
            where
                duplicates.identity_hash = lines.identity_hash
                and duplicates.file_path = lines.file_path
                and duplicates.line_number = lines.line_number
        )
{% endmacro %}
