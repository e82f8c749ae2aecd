{# The monitored models as validated, with every default filled in. All that is shaped by the
   configuration reads it from here, so nothing runs on a configuration that is wrong. #}
{% macro monitored_models() %}
    {% set given = var('monitored_models', none) %}
    {% do ml_monitoring.validate_monitored_models(given) %}
    {% set models = [] %}
    {% for model in given %}
        {% set slices = [] %}
        {% set feature_names = model.features | map(attribute='name') | map('lower') | list %}
        {% for slice in model.get('slices', []) %}
            {% set slice = {'name': slice} if slice is string else slice %}
            {% do slices.append({
                'name': slice.name,
                'breaks': slice.get('breaks', []),
                'is_feature': slice.name | lower in feature_names,
            }) %}
        {% endfor %}
        {% do models.append({
            'name': model.name,
            'task': model.task,
            'decision_threshold': model.get('decision_threshold', 0.5),
            'baseline': model.get('baseline', {'days': 14}),
            'min_label_coverage': model.get('min_label_coverage', 0.5),
            'label_grace_hours': model.get('label_grace_hours', 48),
            'features': model.features,
            'slices': slices,
            'protected_attributes': model.get('protected_attributes', []),
        }) %}
    {% endfor %}
    {{ return(models) }}
{% endmacro %}
