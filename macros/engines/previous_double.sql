{# The greatest double below a number. #}
{% macro previous_double(value) %}
    {{- return(adapter.dispatch('previous_double', 'ml_monitoring')(value)) -}}
{% endmacro %}

{% macro default__previous_double(value) %}nextafter({{ value }}, '-inf'::double){% endmacro %}
