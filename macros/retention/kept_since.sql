{# Which days are still there. `close_dates` notes it at the end of a build that is complete, in the
   table `retention`; while nothing has been dropped there is no such table.

   kind `raw`: events and labels as they were logged. Days before are closed: what was computed from
   them stays as it is.
   kind `minutes`: levels by the minute. kind `windows`: windows of whole days, and rolling ones.
   kind `days`: the daily summaries that such windows are made from, kept for longer. #}
{% macro kept_since(kind) %}
    {% if not execute or model is defined and model.resource_type == 'unit_test' %}
        {{ return(none) }}
    {% endif %}
    {% set retention = ml_monitoring.as_left_by_last_build('retention') %}
    {% if not retention %}
        {{ return(none) }}
    {% endif %}
    {% set found = run_query(
        "select kept_since::varchar from " ~ retention ~ " where kind = '" ~ kind ~ "'") %}
    {{ return(found.columns[0][0] if found.rows else none) }}
{% endmacro %}


{# A condition that a moment or date lies in days that are still there. #}
{% macro is_kept(moment, kind='raw') %}
    {%- set since = ml_monitoring.kept_since(kind) -%}
    {{- return(moment ~ " >= date '" ~ since ~ "'" if since else 'true') -}}
{% endmacro %}


{# How the rows of a model end: `meta: {retention: {kind, key, raw_key}}`. Rows whose `key` lies in
   days that this kind is no longer kept for go. Rows whose `raw_key` lies in closed days, of which
   the raw events are gone, stay as they are. #}
{% macro retention_of(part) %}
    {{ return(model.config.get('meta', {}).get('retention', {}).get(part)) }}
{% endmacro %}


{# Whether what a row is made from is still there. #}
{% macro is_open(rows) %}
    {%- set raw_key = ml_monitoring.retention_of('raw_key') -%}
    {{- return(
        ml_monitoring.is_kept(raw_key | replace('rows.', rows ~ '.')) if raw_key else 'true'
    ) -}}
{% endmacro %}


{# Whether a row should be made, if it is not there. #}
{% macro is_to_build(rows) %}
    {%- set kind = ml_monitoring.retention_of('kind') -%}
    {%- set key = ml_monitoring.retention_of('key') -%}
    {{- return(
        ml_monitoring.is_open(rows)
        ~ (' and ' ~ ml_monitoring.is_kept(key | replace('rows.', rows ~ '.'), kind)
            if kind else '')
    ) -}}
{% endmacro %}
