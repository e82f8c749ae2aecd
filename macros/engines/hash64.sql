{# A 64-bit hash of some columns, nulls included. Compared only with hashes of one database. #}
{% macro hash64(columns) %}
    {{- return(adapter.dispatch('hash64', 'ml_monitoring')(columns)) -}}
{% endmacro %}

{% macro default__hash64(columns) %}hash({{ columns | join(', ') }}){% endmacro %}


{# The fingerprint of a set of rows from their hashes: the same in any order. A sum, since rows that
   are alike take each other out of a bit_xor. #}
{% macro fingerprint(row_hash) %}
    {{- return(adapter.dispatch('fingerprint', 'ml_monitoring')(row_hash)) -}}
{% endmacro %}

{% macro default__fingerprint(row_hash) %}hash(sum({{ row_hash }}), count(*)){% endmacro %}
