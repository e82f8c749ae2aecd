{# Fails for each slice_key that is neither `all` nor one of the slices of its model. #}
{% test slices_are_configured(model) %}
    select distinct
        model_name,
        slice_key
    from {{ model }}
    where
        slice_key <> 'all'
        {%- for monitored in ml_monitoring.monitored_models() if monitored.slices %}
        and not (
            model_name = {{ ml_monitoring.text_literal(monitored.name) }}
            and slice_key in ({{ ml_monitoring.text_literals(monitored.slices | map(attribute='name') | list + monitored.intersections | map(attribute='name') | list) }})
        )
        {%- endfor %}
{% endtest %}
