{# What explains less is no suspect: LEAST_SCORE of python_udfs/suspects.py. #}
{% macro least_suspect_score() %}{{ return(0.05) }}{% endmacro %}
