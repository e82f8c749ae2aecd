{# Publish the public tables to a file of their own, which readers may open at any moment: see
   python_udfs/publishing.py. A plugin of dbt-duckdb does it, reached through store_relation. #}

{# On-run-start: stop before anything is built if it could not be published. #}
{% macro check_publishing() %}
    {{ return(adapter.dispatch('publish', 'ml_monitoring')('check')) }}
{% endmacro %}


{# On-run-end, before anything is printed. A build that cannot publish fails, but not without
   its report. #}
{% macro publish_tables() %}
    {% if not execute or flags.WHICH not in ['build', 'run', 'retry'] %}
        {{ return('') }}
    {% endif %}
    {{ return(adapter.dispatch('publish', 'ml_monitoring')('publish')) }}
{% endmacro %}


{% macro default__publish(action) %}{{ return('') }}{% endmacro %}

{% macro duckdb__publish(action) %}
    {% if not ml_monitoring.is_publishing() or target.path.startswith((':memory:', 'md:', 'motherduck:')) %}
        {{ return('') }}
    {% endif %}
    {% set statuses = {} %}
    {% for result in (results if action == 'publish' else [])
          if result.node.package_name == 'ml_monitoring'
          and result.node.resource_type in ['model', 'seed', 'snapshot'] %}
        {% do statuses.update({result.node.unique_id: result.status}) %}
    {% endfor %}
    {% set request = {
        'action': action,
        'nodes': graph.nodes,
        'schema': ml_monitoring.generate_schema_name('public', none) | trim,
        'statuses': statuses,
        'full_refresh': flags.FULL_REFRESH,
        'as_of': ml_monitoring.as_of(),
        'invocation_id': invocation_id,
    } %}
    {# dbt-duckdb opens the database at the first query. #}
    {% do run_query('select 1') %}
    {% do adapter.store_relation('publishing', none, [], none, none, request) %}
    {% if request.said %}
        {% do log(request.said, info=true) %}
    {% endif %}
    {{ return('') }}
{% endmacro %}
