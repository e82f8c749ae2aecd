{# In how many parts the bins of the fine grid of scores are divided where two models are compared;
   python_udfs/shadow_tables.py reads them. #}
{% macro divided_bins() %}{{ return(16) }}{% endmacro %}


{# In which of these parts of its bin a score is, from 0. Of the edges so many are below it. #}
{% macro part_of_bin(score, edges, below) -%}
    least(
            floor(
                {{ ml_monitoring.divided_bins() }} * ({{ score }} - coalesce({{ edges }}[{{ below }}], 0))
                / (coalesce({{ edges }}[{{ below }} + 1], 1) - coalesce({{ edges }}[{{ below }}], 0))
            ),
            {{ ml_monitoring.divided_bins() - 1 }}
        )::integer
{%- endmacro %}
