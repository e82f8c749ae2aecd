{# A condition that a column holds one of the values that a query finds now, as literals: then
   DuckDB passes over the row groups that hold none of them. Through a join it reads every column
   of all history first. Many values become a range; none, `false`. Without `query`: `true`. #}
{% macro is_one_of(column, query) %}
    {%- if not execute or not query -%} {{ return('true') }} {%- endif -%}
    {%- set values = run_query(
        'select distinct value::varchar from (' ~ query ~ ') as found (value)'
        ~ ' where value is not null order by value::varchar'
    ).columns[0].values() -%}
    {%- if not values -%} {{ return('false') }} {%- endif -%}
    {%- set many = values | length > 100 -%}
    {%- set shown = [values | first, values | last] if many else values -%}
    {%- set type = 'timestamp' if ' ' in values[0] else 'date' -%}
    {%- set literals = [] -%}
    {%- for value in shown -%}
        {%- do literals.append(type ~ " '" ~ value ~ "'") -%}
    {%- endfor -%}
    {{- return(
        column ~ ' between ' ~ literals[0] ~ ' and ' ~ literals[1] if many
        else column ~ ' in (' ~ literals | join(', ') ~ ')'
    ) -}}
{% endmacro %}
