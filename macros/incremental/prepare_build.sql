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
        {% do ml_monitoring.refuse_namesakes() %}
        {% do ml_monitoring.prepare_lake() %}
        {% do ml_monitoring.check_publishing() %}
        {% do ml_monitoring.refuse_to_go_back() %}
        {% do ml_monitoring.refuse_to_lose_history() %}
        {% if not ml_monitoring.is_streaming_run() %}
            {% do ml_monitoring.refuse_a_baseline_in_closed_days() %}
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


{# Where this project is a package, dbt looks for what `ref` names in the root project first, unless
   told otherwise: then a model of the same name there would take the place of one here. #}
{% macro refuse_namesakes() %}
    {% set found = [] %}
    {% for node in graph.nodes.values()
          if node.package_name == 'ml_monitoring' and project_name != 'ml_monitoring' %}
        {% for name in node.refs | selectattr('package', 'none') | map(attribute='name')
              if 'model.ml_monitoring.' ~ name not in node.depends_on.nodes and name not in found %}
            {% do found.append(name) %}
        {% endfor %}
    {% endfor %}
    {% if found %}
        {{ exceptions.raise_compiler_error(
            "\n\n  Your project has models named as models of ml_monitoring are: "
            ~ found | sort | join(', ') ~ ".\n  dbt lets ml_monitoring read yours in place of its own.\n\n"
            ~ "  Either rename yours, or say in your dbt_project.yml:\n\n    flags:\n"
            ~ "      require_ref_searches_node_package_before_root: true\n"
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
                ~ " database of its own:\n\n    "
                ~ ("make replay AT=" ~ ml_monitoring.as_of() | replace(' ', 'T') ~ "Z\n    or: "
                    if project_name == 'ml_monitoring' else '')
                ~ "ML_MONITORING_PATH=replay.duckdb dbt build --vars"
                ~ " '{as_of: \"" ~ ml_monitoring.as_of() ~ "\"}'\n"
            ) }}
        {% endif %}
    {% endif %}
    {% endfor %}
{% endmacro %}


{# What is made file by file has columns by the configuration, and names of files by the landing
   folder. Where these changed, all of it is made anew, except what is of closed days. The ledger
   goes first: were the run killed here, the next one must not take the files for read. #}
{% macro reset_changed_inputs() %}
    {% set ledger = ml_monitoring.as_left_by_last_build('int_ingested_files') %}
    {% if ledger %}
        {# An earlier version of the project did not know of closed files. A query, since
           get_columns_in_relation begins a transaction that is rolled back in the end. #}
        {% set is_of_now = run_query(
            "select count(*) from information_schema.columns where column_name = 'is_closed'"
            ~ " and table_schema = '" ~ ledger.schema ~ "' and table_name = '" ~ ledger.identifier
            ~ "'").columns[0][0] > 0 %}
        {% set others = not is_of_now or run_query(
            "select count(*) from " ~ ledger ~ " where not is_closed and input_definition <> '"
            ~ ml_monitoring.input_definition() ~ "'").columns[0][0] %}
        {% if not others %}
            {{ return('') }}
        {% endif %}
        {% do log('The configuration of the inputs has changed: every file is read anew.', info=true) %}
    {% endif %}
    {% set is_closed = ml_monitoring.kept_since('raw') is not none %}
    {% for name, schema, kept in [
        ('int_ingested_files', 'internal', 'not is_closed'),
        ('stg_landing_files', 'restricted', none),
        ('stg_inference_lines', 'restricted', none),
        ('stg_label_lines', 'restricted', none),
        ('int_affected_requests', 'internal', none),
        ('int_label_history', 'internal', none),
        ('int_label_revisions', 'internal', ml_monitoring.is_kept('event_date')),
        ('int_label_outcomes', 'internal', 'file_path not in (select file_path from '
            ~ ledger ~ " where is_closed and input = 'labels')"),
        ('int_label_file_hours', 'internal', 'file_path not in (select file_path from '
            ~ ledger ~ " where is_closed and input = 'labels')"),
        ('int_duplicate_lines', 'internal', ml_monitoring.is_kept('ts')),
        ('int_file_hours', 'internal', ml_monitoring.is_kept('event_hour')),
        ('int_field_issues', 'internal', ml_monitoring.is_kept('ts')),
        ('int_rejected_lines', 'internal', '(input, file_path) not in'
            ~ ' (select (input, file_path) from ' ~ ledger ~ ' where is_closed)'),
    ] %}
        {% set relation = ml_monitoring.as_left_by_last_build(name, schema) %}
        {% if relation and is_closed and kept %}
            {% do run_query('delete from ' ~ relation ~ ' where ' ~ kept) %}
        {% elif relation %}
            {% do adapter.drop_relation(relation) %}
        {% endif %}
    {% endfor %}
{% endmacro %}


{# Once raw events have been dropped, a build from nothing would lose what was computed from them. #}
{% macro refuse_to_lose_history() %}
    {% set since = ml_monitoring.kept_since('raw') %}
    {% if since is none or not flags.FULL_REFRESH %}
        {{ return('') }}
    {% endif %}
    {% if var('lose_history', false) is sameas true %}
        {% do adapter.drop_relation(ml_monitoring.as_left_by_last_build('retention')) %}
        {{ return('') }}
    {% endif %}
    {{ exceptions.raise_compiler_error(
        "\n\n  Raw events from before " ~ since ~ " are no longer kept (raw_retention_days), so a"
        ~ " full refresh would lose all history before that day.\n\n  A plain `dbt build` heals"
        ~ " whatever has changed since. To lose the history all the same:\n\n"
        ~ "    dbt build --full-refresh --vars '{lose_history: true}'\n"
    ) }}
{% endmacro %}


{# A new baseline needs raw events: its bins are made from them. #}
{% macro refuse_a_baseline_in_closed_days() %}
    {% set since = ml_monitoring.kept_since('raw') %}
    {% set periods = ml_monitoring.as_left_by_last_build('int_baseline_periods') %}
    {% if since is none or not periods %}
        {{ return('') }}
    {% endif %}
    {% for monitored in ml_monitoring.monitored_models()
          if not ml_monitoring.training_source(monitored.baseline) %}
        {% set version = local_md5(monitored.baseline_definition)[:8] %}
        {% set start = ml_monitoring.parse_moment(monitored.baseline.start)[:10]
            if 'start' in monitored.baseline else '0000-00-00' %}
        {% set frozen = run_query(
            "select count(*) from " ~ periods ~ " where kind = 'features' and frozen_at is not null"
            ~ " and model_name = " ~ ml_monitoring.text_literal(monitored.name)
            ~ " and baseline_version = '" ~ version ~ "'").columns[0][0] %}
        {% if start < since and not frozen %}
            {% do ml_monitoring.config_error('monitored_models', 'gives ' ~ monitored.name
                ~ ' a new baseline that begins before ' ~ since ~ ', the first day of which raw'
                ~ ' events are still kept (raw_retention_days).',
                'baseline: {start: "' ~ since ~ '", end: "..."}   # or the definition of before') %}
        {% endif %}
    {% endfor %}
{% endmacro %}
