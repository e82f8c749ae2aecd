{# A seed, or the relation of the user's that the var <seed>_relation puts in its place. #}
{% macro seed_or_relation(seed) %}
    {% set relation = ml_monitoring.relation_var(seed ~ '_relation') %}
    {{ return(relation or ref(seed)) }}
{% endmacro %}
