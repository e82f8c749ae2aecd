{# Whether the feature_hash of a line is checked: few are, as their features are kept as logged. #}
{% macro is_hash_checked() -%}
    feature_hash is not null
    and not is_wrong_feature_hash
    and {{ ml_monitoring.hash64(['request_id']) }} % 16 = 0
{%- endmacro %}
