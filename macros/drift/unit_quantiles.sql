{# The quantiles that a unit is told by, as PROBABILITIES in python_udfs/integrity.py. #}
{% macro unit_quantiles() %}
    {%- set found = [] -%}
    {%- for step in range(1, 20) %}{% do found.append(step * 5 / 100) %}{% endfor -%}
    {{- return(found) -}}
{% endmacro %}
