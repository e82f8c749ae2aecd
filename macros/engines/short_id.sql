{# Sixteen hex digits that stand for some values. #}
{% macro short_id(values) -%}
    {%- set parts = [] -%}
    {%- for value in values -%}
        {%- do parts.append("coalesce((" ~ value ~ ")::varchar, '')") -%}
    {%- endfor -%}
    left(md5(concat_ws(chr(31), {{ parts | join(', ') }})), 16)
{%- endmacro %}
