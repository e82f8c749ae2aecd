{# The name of a class that was logged as a number: 1, 1.0 and 1e0 are one class. Null for what is
   no finite number. #}
{% macro class_name(number) -%}
    case
        when isfinite({{ number }}) then coalesce(
            case when {{ number }} % 1 = 0 then try_cast({{ number }} as bigint)::varchar end,
            {{ number }}::varchar
        )
    end
{%- endmacro %}
