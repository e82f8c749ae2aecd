{# The sum of numbers of modest size in units of 2^-30, as python_udfs/performance_tables.py reads
   it. A parallel sum of doubles differs from run to run; this one does not. #}
{% macro fixed_sum(value) -%}
    coalesce(sum(round(({{ value }}) * {{ ml_monitoring.fixed_unit() }})::bigint), 0)::bigint
{%- endmacro %}


{% macro fixed_unit() %}{{ return(1073741824) }}{% endmacro %}
