{# The sum of an expression over the elements `p` of the list `scored`, in its order: a parallel
   sum of doubles differs from run to run. Nulls are passed over; 0 of nothing. #}
{% macro ordered_sum(expression) -%}
    coalesce(list_aggregate(list_transform(scored, lambda p: {{ expression }}), 'fsum'), 0)
{%- endmacro %}
