{# A number for people: three significant digits, without an exponent. #}
{% macro short_number(value) -%}
    case
        when abs({{ value }}) >= 100 then round({{ value }})::bigint::varchar
        when abs({{ value }}) >= 1 then round({{ value }}, 2)::varchar
        else round({{ value }}, 4)::varchar
    end
{%- endmacro %}
