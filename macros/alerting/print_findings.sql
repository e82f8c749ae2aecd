{# On-run-end: print the first rows that a failed test found, since dbt itself prints only how many
   they are. The SLO tests have a report of their own. #}
{% macro print_findings() %}
    {% if not execute or flags.WHICH not in ['build', 'test', 'retry'] %}
        {{ return('') }}
    {% endif %}
    {% for result in results if result.status in ['fail', 'warn']
          and result.node.resource_type == 'test' and result.node.package_name == 'ml_monitoring'
          and not result.node.name.startswith('slo_page')
          and not result.node.name.startswith('slo_ticket') %}
        {% set found = run_query(
            'select * from (\n' ~ result.node.compiled_code ~ '\n) as findings limit 5') %}
        {% do log('\n  ' ~ result.node.name ~ (': the first 5 of ' ~ result.failures
            if result.failures > 5 else ''), info=true) %}
        {% for row in found.rows %}
            {% set cells = [] %}
            {% for column in found.column_names if row[column] is not none %}
                {% do cells.append(column ~ ' = ' ~ ml_monitoring.on_one_line(row[column])) %}
            {% endfor %}
            {% do log('    ' ~ cells | join(', '), info=true) %}
        {% endfor %}
    {% endfor %}
    {{ return('') }}
{% endmacro %}
