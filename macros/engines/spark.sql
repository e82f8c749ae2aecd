{# The target `spark`: models that read events are run by workers, each on a share of them. A model
   is shared out as macros/engines/shares.sql says. Elsewhere all of this does nothing.
   docs/engines.md #}

{% macro is_on_spark() %}
    {{- return(target.name == 'spark') -}}
{% endmacro %}


{# How a relation of the size of the events is kept: on Spark as files that workers read. #}
{% macro of_event_size(materialized) %}
    {{- return('lake' if ml_monitoring.is_on_spark() else materialized) -}}
{% endmacro %}


{# dbt-duckdb makes all tables by this macro. #}
{% macro duckdb__create_table_as(temporary, relation, compiled_code, language='sql', partitioned_by=none, sorted_by=none) %}
    {% if language == 'sql' and ml_monitoring.share_of(model.name) %}
        {% set compiled_code = ml_monitoring.run_on_spark(compiled_code) %}
    {% endif %}
    {{ return(dbt.duckdb__create_table_as(
        temporary, relation, compiled_code, language, partitioned_by, sorted_by)) }}
{% endmacro %}


{# Run a model's SQL on Spark; gives a query of what came out. #}
{% macro run_on_spark(compiled_code) %}
    {% set share = ml_monitoring.share_of(model.name) %}
    {% set lake_views = [] %}
    {% for node in graph.nodes.values()
          if node.resource_type == 'model' and node.config.materialized == 'lake' %}
        {% do lake_views.append('"' ~ node.schema ~ '"."' ~ node.alias ~ '"') %}
    {% endfor %}
    {% set request = {
        'name': model.name,
        'relation': '"' ~ model.schema ~ '"."' ~ model.alias ~ '"',
        'sql': compiled_code,
        'database': target.database,
        'schemas': [
            ml_monitoring.generate_schema_name('public', none) | trim,
            ml_monitoring.generate_schema_name('internal', none) | trim,
            ml_monitoring.generate_schema_name('restricted', none) | trim,
        ],
        'lake_views': lake_views,
        'share_by': share.by,
        'where': share.get('where', ''),
        'partition_by': share.get('lake', []),
        'landing': ml_monitoring.landing_of(share.input) if share.input else {},
    } %}
    {% do adapter.store_relation('spark_engine', none, [], none, none, request) %}
    {% do log(request.said, info=true) %}
    {{ return(request.query) }}
{% endmacro %}


{# The landing files that a staging model reads in this run. #}
{% macro landing_of(input) %}
    {% set found = run_query(
        "select file_path from " ~ ref('stg_landing_files') ~ " where input = '" ~ input
        ~ "' and not is_gone order by file_path"
    ) %}
    {% set schema = ml_monitoring.generate_schema_name('restricted', none) | trim %}
    {{ return({
        'input': input,
        'folder': ml_monitoring.landing_path(),
        'file_paths': found.columns[0].values() | list,
        'monitored_models': var('monitored_models', []),
        'sources': {
            'lines': '"' ~ schema ~ '"."' ~ input ~ '_lines"',
            'rows': '"' ~ schema ~ '"."' ~ input ~ '_rows"',
        },
    }) }}
{% endmacro %}


{% materialization lake, adapter='duckdb' %}
    {% set relation = this.incorporate(type='view') %}
    {% set before = load_cached_relation(this) %}
    {% if before and before.type != 'view' %}
        {% do adapter.drop_relation(before) %}
    {% endif %}
    {% set query = ml_monitoring.run_on_spark(compiled_code) %}
    {% call statement('main') %}
        create or replace view {{ relation }} as {{ query }}
    {% endcall %}
    {% do adapter.commit() %}
    {{ return({'relations': [relation]}) }}
{% endmaterialization %}
