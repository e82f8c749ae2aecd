{# The project's own rule for its own models: a prefix. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ target.schema }}_{{ custom_schema_name or 'core' }}
{%- endmacro %}
