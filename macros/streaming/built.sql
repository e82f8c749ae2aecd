{# A relation of the main build, or none where there has been no main build yet: the streaming path
   runs without one. In a unit test it is always there. #}
{% macro built(relation) %}
    {% if not execute or relation.is_cte or load_relation(relation) %}
        {{ return(relation) }}
    {% endif %}
    {{ return(none) }}
{% endmacro %}


{# The same, or an empty relation of such columns in its place. #}
{% macro built_or_empty(relation, columns) %}
    {%- if ml_monitoring.built(relation) -%}
        {{- return(relation) -}}
    {%- endif -%}
    {%- set nulls = [] -%}
    {%- for name, type in columns.items() -%}
        {%- do nulls.append('null::' ~ type ~ ' as ' ~ name) -%}
    {%- endfor -%}
    {{- return('(select ' ~ nulls | join(', ') ~ ' where false)') -}}
{% endmacro %}
