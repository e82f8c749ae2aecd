{# The length in minutes of a window_size such as 10m, 6h or 28d; null where it is none. #}
{% macro window_minutes(window_size) -%}
    (
        try_cast(regexp_extract({{ window_size }}, '^([1-9][0-9]{0,3})[mhd]$', 1) as integer)
        * case right({{ window_size }}, 1) when 'm' then 1 when 'h' then 60 when 'd' then 1440 end
    )
{%- endmacro %}
