{# The target `spark`: models that read events are run by workers, each on a share of them. A model
   is shared out as macros/engines/shares.sql says. Elsewhere all of this does nothing.
   docs/engines.md #}

{% macro is_on_spark() %}
    {{- return(target.name == 'spark') -}}
{% endmacro %}


{# On-run-start, on Spark: refuse what is not there yet, and make the tables that say which files the
   lake consists of (python_udfs/spark_engine.py). #}
{% macro prepare_lake() %}
    {% if not ml_monitoring.is_on_spark() %}
        {{ return('') }}
    {% endif %}
    {% for name in ['inference_events_relation', 'labels_relation', 'raw_retention_days'] %}
        {% if var(name, none) is not none %}
            {% do ml_monitoring.config_error(name, 'is set, and the target spark reads landing'
                ~ ' files only and keeps all of them (docs/engines.md).', name ~ ': null') %}
        {% endif %}
    {% endfor %}
    {% set schema = '"' ~ ml_monitoring.generate_schema_name('internal', none) | trim ~ '"' %}
    {% do run_query('create schema if not exists ' ~ schema) %}
    {% do run_query('create table if not exists ' ~ schema ~ '.lake_files (relation varchar,'
        ~ ' path varchar, part varchar, keys varchar, types varchar)') %}
    {% do run_query('create table if not exists ' ~ schema ~ '.lake_parts (relation varchar,'
        ~ ' part varchar, file_path varchar)') %}
    {{ return('') }}
{% endmacro %}


{# How a relation of the size of the events is kept: on Spark as files that workers read. #}
{% macro of_event_size(materialized) %}
    {{- return('lake' if ml_monitoring.is_on_spark() else materialized) -}}
{% endmacro %}


{# dbt-duckdb makes all tables by this macro. #}
{% macro duckdb__create_table_as(temporary, relation, compiled_code, language='sql', partitioned_by=none, sorted_by=none) %}
    {% if language == 'sql' and ml_monitoring.share_of(model.name) %}
        {% set compiled_code = ml_monitoring.run_on_spark(compiled_code).query %}
    {% endif %}
    {{ return(dbt.duckdb__create_table_as(
        temporary, relation, compiled_code, language, partitioned_by, sorted_by)) }}
{% endmacro %}


{# Run a model's SQL on Spark; gives a `query` of what came out. #}
{% macro run_on_spark(compiled_code, is_anew=true) %}
    {% set share = ml_monitoring.share_of(model.name) %}
    {% set schemas = [] %}
    {% for access in ['public', 'internal', 'restricted'] %}
        {% do schemas.append(ml_monitoring.generate_schema_name(access, none) | trim) %}
    {% endfor %}
    {% set landing = ml_monitoring.landing_of(share.input, is_anew) if share.input else {} %}
    {% set request = {
        'action': 'plan',
        'name': model.name,
        'relation': '"' ~ model.schema ~ '"."' ~ model.alias ~ '"',
        'sql': compiled_code,
        'database': target.database,
        'schemas': schemas,
        'lake_schema': schemas[1],
        'is_anew': is_anew,
        'share_by': share.by,
        'where': share.get('where', ''),
        'dates': ml_monitoring.dates_to_share(share),
        'partition_by': share.get('lake', []),
        'landing': landing,
        'forgotten': landing.pop('forgotten', []),
    } %}
    {% do adapter.store_relation('spark_engine', none, [], none, none, request) %}
    {% for statement in request.exports %}
        {% do run_query(statement) %}
    {% endfor %}
    {% do request.update({'action': 'run'}) %}
    {% do adapter.store_relation('spark_engine', none, [], none, none, request) %}
    {% do log(request.said, info=true) %}
    {{ return(request) }}
{% endmacro %}


{# The dates that a model has to read, as far as they are known before; none for all. #}
{% macro dates_to_share(share) %}
    {% if share.dates %}
        {% set found = run_query('select distinct event_date::varchar from ' ~ ref(share.dates)) %}
        {{ return(found.columns[0].values() | list) }}
    {% endif %}
    {% if not share.wanted or not is_incremental() %}
        {{ return(none) }}
    {% endif %}
    {% set found = run_query(
        'select distinct ' ~ share.key ~ '::date::varchar from ('
        ~ ml_monitoring.stale_keys(ref(share.wanted), [share.key]) ~ ')'
    ) %}
    {{ return(found.columns[0].values() | list) }}
{% endmacro %}


{# The landing files that a staging model has to read, and those whose lines it has to forget. #}
{% macro landing_of(input, is_anew) %}
    {% set files = ref('stg_landing_files') ~ " where input = '" ~ input ~ "' and " %}
    {% set wanted = 'not is_gone' if is_anew else 'is_changed' %}
    {% set found = run_query(
        'select file_path from ' ~ files ~ wanted ~ ' order by file_path') %}
    {% set forgotten = run_query(
        'select file_path from ' ~ files ~ 'is_known and (is_changed or is_gone)') %}
    {% set schema = ml_monitoring.generate_schema_name('restricted', none) | trim %}
    {{ return({
        'input': input,
        'folder': ml_monitoring.landing_path(),
        'file_paths': found.columns[0].values() | list,
        'forgotten': forgotten.columns[0].values() | list,
        'monitored_models': var('monitored_models', []),
        'sources': {
            'lines': '"' ~ schema ~ '"."' ~ input ~ '_lines"',
            'rows': '"' ~ schema ~ '"."' ~ input ~ '_rows"',
        },
    }) }}
{% endmacro %}


{# A view of files that workers have written, in place of a table; its hooks are of the table and are
   left out. Which they are is noted in the same transaction: a
   build that is killed leaves the files of before, and others that the next one removes. #}
{% materialization lake, adapter='duckdb' %}
    {% set relation = this.incorporate(type='view') %}
    {% set before = load_cached_relation(this) %}
    {% if before and before.type != 'view' %}
        {% do adapter.drop_relation(before) %}
    {% endif %}
    {% set is_anew = flags.FULL_REFRESH or not before or before.type != 'view' %}
    {% set request = ml_monitoring.run_on_spark(compiled_code, is_anew) %}
    {% for statement in request.statements %}
        {% do run_query(statement) %}
    {% endfor %}
    {% call statement('main') %}
        create or replace view {{ relation }} as {{ request.query }}
    {% endcall %}
    {% do adapter.commit() %}
    {{ return({'relations': [relation]}) }}
{% endmaterialization %}
