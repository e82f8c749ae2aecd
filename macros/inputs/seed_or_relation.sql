{# A seed, or the relation of the user's that the var <seed>_relation puts in its place. #}
{% macro seed_or_relation(seed) %}
    {% set relation = ml_monitoring.relation_var(seed ~ '_relation') %}
    {{ return(relation or ref(seed)) }}
{% endmacro %}


{# A column that came later: null where the user's relation does not have it yet. #}
{% macro optional_column(seed, name) %}
    {% set relation = ml_monitoring.relation_var(seed ~ '_relation') %}
    {% set columns = adapter.get_columns_in_relation(relation) | map(attribute='name') | list
        if relation and execute else [name] %}
    {{ return("nullif(" ~ name ~ "::varchar, '')" if name in columns else 'null::varchar') }}
{% endmacro %}
