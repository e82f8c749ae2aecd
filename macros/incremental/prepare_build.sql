{# On-run-start: stop on a wrong configuration, refuse to go back in time, and make room where
   the shape of the inputs has changed. #}
{% macro prepare_build() %}
    {# dbt-duckdb registers a plugin's source when a model that reads it is compiled. Two threads
       that do so at once can trip over each other, so all are registered here. #}
    {% for input in ['inference_events', 'labels']
          if not ml_monitoring.input_relation(input) and not ml_monitoring.is_streaming_run() %}
        {% do source('landing', input ~ '_lines') %}
        {% do source('landing', input ~ '_rows') %}
    {% endfor %}
    {% if not ml_monitoring.input_relation('inference_events') %}
        {% do source('landing', 'streamed_events_lines') %}
        {% do source('landing', 'streamed_events_rows') %}
    {% endif %}
    {% if execute and flags.WHICH in ['build', 'run', 'test', 'retry'] %}
        {% do ml_monitoring.validate_config() %}
    {% endif %}
    {% if execute and flags.WHICH in ['build', 'run', 'retry'] %}
        {% do ml_monitoring.refuse_ambiguous_name() %}
        {% do ml_monitoring.refuse_to_go_back() %}
        {% if not ml_monitoring.is_streaming_run() %}
            {% do ml_monitoring.reset_changed_inputs() %}
        {% endif %}
    {% endif %}
{% endmacro %}


{# DuckDB calls a database by the name of its file. Where a schema in it has the same name,
   `schema.table` means two things to it, and it opens no view that reads another. #}
{% macro refuse_ambiguous_name() %}
    {% set schema = var('ml_monitoring_schema', 'ml_monitoring') %}
    {% if target.type == 'duckdb' and target.database == schema %}
        {{ exceptions.raise_compiler_error(
            "\n\n  The database file and the schema are both named `" ~ schema ~ "`, and DuckDB"
            ~ " cannot tell them apart.\n\n  Name the file otherwise:\n\n"
            ~ "    ML_MONITORING_PATH=warehouse.duckdb dbt build\n"
        ) }}
    {% endif %}
{% endmacro %}


{# A streaming run may not go back behind a main build either. A main build does not mind: what was
   streamed is no state of its own. #}
{% macro refuse_to_go_back() %}
    {% for clock in ['int_as_of'] + (['int_streamed_as_of'] if ml_monitoring.is_streaming_run() else []) %}
    {% set relation = ml_monitoring.as_left_by_last_build(clock) %}
    {% if relation %}
        {% set seen = run_query('select max(as_of)::varchar from ' ~ relation).columns[0][0] %}
        {% if seen and seen > ml_monitoring.as_of() %}
            {{ exceptions.raise_compiler_error(
                "\n\n  The database has seen " ~ seen ~ " UTC; as_of " ~ ml_monitoring.as_of()
                ~ " UTC is before that, and time only moves forward.\n\n  To look back, build in a"
                ~ " database of its own:\n\n    make replay AT=" ~ ml_monitoring.as_of() | replace(' ', 'T')
                ~ "Z\n    or: ML_MONITORING_PATH=replay.duckdb dbt build --vars"
                ~ " '{as_of: \"" ~ ml_monitoring.as_of() ~ "\"}'\n"
            ) }}
        {% endif %}
    {% endif %}
    {% endfor %}
{% endmacro %}


{# What is made file by file has columns by the configuration, and names of files by the landing
   folder. Where these changed, all of it is made anew. The ledger goes first: were the run killed
   here, the next one must not take the files for read. #}
{% macro reset_changed_inputs() %}
    {% set ledger = ml_monitoring.as_left_by_last_build('int_ingested_files') %}
    {% if ledger %}
        {% set others = run_query(
            "select count(*) from " ~ ledger ~ " where input_definition <> '"
            ~ ml_monitoring.input_definition() ~ "'").columns[0][0] %}
        {% if not others %}
            {{ return('') }}
        {% endif %}
        {% do log('The configuration of the inputs has changed: every file is read anew.', info=true) %}
        {% do adapter.drop_relation(ledger) %}
    {% endif %}
    {% for name, schema in [
        ('stg_inference_lines', 'restricted'), ('stg_label_lines', 'restricted'),
        ('int_label_history', 'internal'), ('int_duplicate_lines', 'internal'),
        ('int_file_hours', 'internal'),
    ] %}
        {% set relation = ml_monitoring.as_left_by_last_build(name, schema) %}
        {% if relation %}
            {% do adapter.drop_relation(relation) %}
        {% endif %}
    {% endfor %}
{% endmacro %}
