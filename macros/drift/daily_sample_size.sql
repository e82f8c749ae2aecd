{# How many predictions of each day, model version and role are kept in int_feature_samples. #}
{% macro daily_sample_size() %}{{ return(300) }}{% endmacro %}
