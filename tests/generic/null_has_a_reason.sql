{# Fails for each row whose value is null though its data_status is ok, or is there though it is
   not. #}
{% test null_has_a_reason(model, column_name) %}
    select {{ column_name }}, data_status
    from {{ model }}
    where ({{ column_name }} is null) = (data_status = 'ok')
{% endtest %}
