{# Fails for each row in which one of the columns is below `at_least` or above `at_most`. Null
   passes. #}
{% test is_between(model, columns, at_least=none, at_most=none) %}
    select {{ columns | join(', ') }}
    from {{ model }}
    where
        false
        {%- for column in columns %}
        {%- if at_least is not none %}
        or {{ column }} < {{ at_least }}
        {%- endif %}
        {%- if at_most is not none %}
        or {{ column }} > {{ at_most }}
        {%- endif %}
        {%- endfor %}
{% endtest %}
