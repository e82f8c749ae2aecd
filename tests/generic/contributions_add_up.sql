{# Fails for each split whose contributions do not add up to the change. #}
{% test contributions_add_up(model) %}
    select
        alert_id,
        contribution_kind,
        slice_key,
        any_value(change) as change,
        sum(contribution) as contribution
    from {{ model }}
    where data_status = 'ok' and slice_key <> 'all'
    group by alert_id, contribution_kind, slice_key
    having
        not abs(sum(contribution) - any_value(change))
        <= 1e-9 * greatest(1, sum(abs(contribution)))
{% endtest %}
