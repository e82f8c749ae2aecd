{# On-run-end: dbt-duckdb leaves the interim table of an incremental Python model behind, one for
   each run, in the default schema. #}
{% macro drop_leftovers() %}
    {% if not execute or flags.WHICH not in ['build', 'run', 'retry']
          or ml_monitoring.is_streaming_run() %}
        {{ return('') }}
    {% endif %}
    {{ return(adapter.dispatch('drop_leftovers', 'ml_monitoring')()) }}
{% endmacro %}

{% macro default__drop_leftovers() %}{{ return('') }}{% endmacro %}

{% macro duckdb__drop_leftovers() %}
    {% for node in graph.nodes.values()
          if node.package_name == 'ml_monitoring' and node.language == 'python' %}
        {% set found = run_query(
            "select table_schema, table_name from information_schema.tables"
            ~ " where table_catalog = '" ~ target.database ~ "' and starts_with(table_name, '"
            ~ node.alias ~ "__dbt_tmp')"
        ) %}
        {% for leftover in found.rows %}
            {% do run_query('drop table "' ~ leftover[0] ~ '"."' ~ leftover[1] ~ '"') %}
        {% endfor %}
    {% endfor %}
    {{ return('') }}
{% endmacro %}
