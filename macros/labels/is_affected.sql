{# A condition that the labels of a request may have to be matched anew in this run. #}
{% macro is_affected() -%}
    request_hash in (select request_hash from {{ ref('int_affected_requests') }})
{%- endmacro %}
