{# Where an input comes from: landing files, or a relation of the user's. #}

{% macro input_relation(input) %}
    {{ return(ml_monitoring.relation_var(input ~ '_relation')) }}
{% endmacro %}


{# What the staging tables are made from besides the files: where it changes, every file is read
   anew. #}
{% macro input_definition() %}
    {% set tasks = {} %}
    {% for model in ml_monitoring.monitored_models() %}
        {% do tasks.update({model.name: model.task}) %}
    {% endfor %}
    {{ return(local_md5(tojson({
        'version': 5,
        'structs': ml_monitoring.event_structs(),
        'tasks': tasks,
        'relations': [var('inference_events_relation', none), var('labels_relation', none)],
        'landing_path': ml_monitoring.landing_path(),
    }, sort_keys=true))) }}
{% endmacro %}


{# Pre-hook of a table that is made file by file: forget what is of files that are to be read anew
   or are gone, as far as it `may_change`. #}
{% macro forget_changed_files(input, may_change='true') %}
    {% if is_incremental() %}
        delete from {{ this }}
        where {{ may_change }} and {{ ml_monitoring.is_of_changed_file(input) }}
    {% endif %}
{% endmacro %}


{% macro is_of_changed_file(input) -%}
    file_path in (
        select file_path
        from {{ ref('stg_landing_files') }}
        where input = '{{ input }}' and is_known and (is_changed or is_gone)
    )
{%- endmacro %}


{# Which lines such a table takes: those that this run has read; all of them at first. #}
{% macro is_read_in_this_run(lines) -%}
    {{ lines }}.line_number > 0
    {{- ' and ' ~ lines ~ '.load_number = ' ~ ml_monitoring.load_number() if is_incremental() }}
{%- endmacro %}


{# The number of this run's load. #}
{% macro load_number() -%}
    (select max(load_number) from {{ ref('stg_landing_files') }} where is_changed)
{%- endmacro %}


{# Pre-hook of a staging table: tell the reader which files to stream. #}
{% macro plan_landing(input) %}
    {% if not ml_monitoring.input_relation(input) %}
        select landing_plan(
            '{{ input }}',
            {{ ml_monitoring.text_literal(ml_monitoring.landing_path()) }},
            list(file_path order by file_path)
        )
        from {{ ref('stg_landing_files') }}
        where
            input = '{{ input }}'
            and not is_gone
            and {{ 'is_changed' if is_incremental() else 'not is_closed' }}
    {% endif %}
{% endmacro %}


{# The lines to read: (file_path, line_number, file_line_count, file_problem, line). A relation
   is read as if each day of it were a file, its rows rendered as JSON. #}
{% macro input_lines(input) %}
    {% set relation = ml_monitoring.input_relation(input) %}
    {% if not relation %}
        select * from {{ source('landing', input ~ '_lines') }}
    {% else %}
        select
            days.file_path,
            row_number() over (partition by days.file_path order by days.line) as line_number,
            null::bigint as file_line_count,
            null::varchar as file_problem,
            days.line
        from ({{ ml_monitoring.relation_as_lines(input, relation) }}) as days
        inner join {{ ref('stg_landing_files') }} as files
            on
                days.file_path = files.file_path
                and files.input = '{{ input }}'
                and files.{{ 'is_changed' if is_incremental() else 'is_closed is false' }}
        union all
        select
            days.file_path,
            0 as line_number,
            count(*) as file_line_count,
            null::varchar as file_problem,
            null::varchar as line
        from ({{ ml_monitoring.relation_as_lines(input, relation) }}) as days
        inner join {{ ref('stg_landing_files') }} as files
            on
                days.file_path = files.file_path
                and files.input = '{{ input }}'
                and files.{{ 'is_changed' if is_incremental() else 'is_closed is false' }}
        group by days.file_path
    {% endif %}
{% endmacro %}


{# A relation of the user's as lines of JSON, by the day of its rows. #}
{% macro relation_as_lines(input, relation, where='true') %}
    {% set moment = 'ts' if input == 'inference_events' else 'labeled_at' %}
    {% set columns = adapter.get_columns_in_relation(relation) if execute else [] %}
    {% if execute and not columns %}
        {% do ml_monitoring.config_error(input ~ '_relation', 'names `' ~ relation
            ~ '`, which does not exist or has no columns.', input ~ '_relation: my_schema.my_table') %}
    {% endif %}
    {% set values = [] %}
    {% for column in columns %}
        {% set name = adapter.quote(column.name | replace('"', '""')) %}
        {% set type = column.data_type | upper %}
        {% if type.startswith('TIMESTAMP') %}
            {% set utc = name ~ " at time zone 'UTC'" if 'TIME ZONE' in type else name %}
            {% do values.append(name ~ ' := strftime((' ~ utc ~ ")::timestamp, '%Y-%m-%dT%H:%M:%S.%fZ')") %}
        {% elif column.name in ['features', 'attributes', 'upstream', 'preprocessing']
              and not type.startswith(('STRUCT', 'MAP', 'JSON')) %}
            {% do values.append(name ~ ' := case when json_valid(' ~ name ~ ') then ' ~ name
                ~ '::json else to_json(' ~ name ~ ') end') %}
        {% else %}
            {% do values.append(name ~ ' := ' ~ name) %}
        {% endif %}
    {% endfor %}
    select
        {{ ml_monitoring.text_literal(relation.identifier) }} || '/'
        || coalesce(regexp_extract(line ->> '{{ moment }}', '^\d{4}-\d{2}-\d{2}'), '') as file_path,
        line
    from (
        select to_json(struct_pack({{ values | join(', ') or 'none := null' }}))::varchar as line
        from {{ relation }}
        where {{ where }}
    )
{% endmacro %}
