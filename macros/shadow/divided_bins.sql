{# In how many parts the bins of the fine grid of scores are divided where two models are compared;
   python_udfs/shadow_tables.py reads them. #}
{% macro divided_bins() %}{{ return(16) }}{% endmacro %}
