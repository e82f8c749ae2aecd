{# Three schemas: `ml_monitoring` (public), `ml_monitoring_internal` (summaries) and
   `ml_monitoring_restricted` (what services logged). The names stand as they are, without the
   prefix of the target. dbt puts quotes around a schema without a look at what is in it. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- set base = var('ml_monitoring_schema', 'ml_monitoring') -%}
    {%- if base is not string or not modules.re.fullmatch('[A-Za-z_][A-Za-z0-9_]{0,49}', base) -%}
        {%- do ml_monitoring.config_error('ml_monitoring_schema', 'is `' ~ base
            ~ '`; it must be a plain identifier: up to 50 letters, digits and underscores, no digit'
            ~ ' first.', 'ml_monitoring_schema: ml_monitoring') -%}
    {%- endif -%}
    {%- if custom_schema_name is none -%} {{ target.schema }}
    {%- elif custom_schema_name == 'public' -%} {{ base }}
    {%- elif custom_schema_name in ['internal', 'restricted'] -%} {{ base }}_{{ custom_schema_name }}
    {%- else -%} {{ custom_schema_name }}
    {%- endif -%}
{%- endmacro %}


{# A table as an earlier build left it, or none: for what must not be an edge of the graph. #}
{% macro as_left_by_last_build(identifier, schema='internal') %}
    {% if not execute %}
        {{ return(none) }}
    {% endif %}
    {{ return(adapter.get_relation(
        database=target.database,
        schema=ml_monitoring.generate_schema_name(schema, none) | trim,
        identifier=identifier,
    )) }}
{% endmacro %}
