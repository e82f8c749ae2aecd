{# A seed, or the relation of the user's that the var <seed>_relation puts in its place. The seeds
   are the demo's: inside another project there is nothing of these columns in their place. #}
{% macro seed_or_relation(seed, columns) %}
    {% if project_name != 'ml_monitoring' %}
        {{ return(ml_monitoring.relation_or_empty(seed ~ '_relation', columns)) }}
    {% endif %}
    {{ return(ml_monitoring.relation_var(seed ~ '_relation') or ref(seed)) }}
{% endmacro %}


{# The relation of the user's that a var names; without one, no rows of these columns. #}
{% macro relation_or_empty(name, columns) %}
    {% set relation = ml_monitoring.relation_var(name) %}
    {% if relation %}
        {{ return(relation) }}
    {% endif %}
    {% set empty = [] %}
    {% for column in columns %}
        {% do empty.append('null::varchar as ' ~ adapter.quote(column)) %}
    {% endfor %}
    {{ return('(select ' ~ empty | join(', ') ~ ' where false)') }}
{% endmacro %}


{# A column that came later: null where the user's relation does not have it yet. #}
{% macro optional_column(seed, name) %}
    {% set relation = ml_monitoring.relation_var(seed ~ '_relation') %}
    {% set columns = adapter.get_columns_in_relation(relation) | map(attribute='name') | list
        if relation and execute else [name] %}
    {{ return("nullif(" ~ name ~ "::varchar, '')" if name in columns else 'null::varchar') }}
{% endmacro %}
