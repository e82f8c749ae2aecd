{# A where clause that keeps the rows that a table does not hold yet; nothing where there is no such
   table. `keys` maps its columns to those of the query. #}
{% macro where_not_held(held, keys) %}
    {%- if held -%}
    where not exists (
        select 1
        from {{ held }} as held
        where
            {%- for column, wanted in keys.items() %}
            held.{{ column }} = {{ wanted }} {{ 'and' if not loop.last }}
            {%- endfor %}
    )
    {%- endif -%}
{% endmacro %}
