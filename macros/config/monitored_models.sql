{# The monitored models as validated, with every default filled in. All that is shaped by the
   configuration reads it from here, so nothing runs on a configuration that is wrong. #}
{% macro monitored_models() %}
    {% set given = ml_monitoring.given_models() %}
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
        {# Without importances: no summary depends on them. #}
        {% set features = [] %}
        {% for feature in model.features %}
            {% do features.append({'name': feature.name, 'type': feature.type}) %}
        {% endfor %}
        {% set intersections = [] %}
        {% for pair in model.get('protected_intersections', []) %}
            {% set parts = [] %}
            {% for name in pair %}
                {% do parts.append(slices | selectattr('name', 'equalto', name) | first) %}
            {% endfor %}
            {% do intersections.append({'name': pair | join(' x '), 'slices': parts}) %}
        {% endfor %}
        {% do models.append({
            'name': model.name,
            'task': model.task,
            'decision_threshold': model.get('decision_threshold', 0.5),
            'latency_threshold_ms': model.get('latency_threshold_ms'),
            'baseline': model.get('baseline', {'days': 14}),
            'baseline_definition': ml_monitoring.baseline_definition(model),
            'min_label_coverage': model.get('min_label_coverage', 0.5),
            'label_grace_hours': model.get('label_grace_hours', 48),
            'features': features,
            'slices': slices,
            'protected_attributes': model.get('protected_attributes', []),
            'intersections': intersections,
        }) %}
    {% endfor %}
    {{ return(models) }}
{% endmacro %}


{# The var as it was given; none where it was not. dbt hands the vars of a package on as defaults, and
   another project must not monitor the demo's model. #}
{% macro given_models() %}
    {% set given = var('monitored_models', none) %}
    {% if project_name == 'ml_monitoring' or given is string or given is not iterable %}
        {{ return(given) }}
    {% endif %}
    {% for model in given if model is mapping and model.get('is_demo') %}
        {{ return(none) }}
    {% endfor %}
    {{ return(given) }}
{% endmacro %}


{# What the configuration says of how much a model depends on its features, where it does. #}
{% macro given_importances() %}
    {# First of all it is validated. #}
    {% do ml_monitoring.monitored_models() %}
    {% set found = [] %}
    {% for model in ml_monitoring.given_models() %}
        {% for feature in model.features if 'importance' in feature %}
            {% do found.append({'model': model.name, 'feature': feature.name,
                                'importance': feature.importance}) %}
        {% endfor %}
    {% endfor %}
    {{ return(found) }}
{% endmacro %}


{# A baseline in words. Another definition is another version of the baseline. #}
{% macro baseline_definition(model) %}
    {% set baseline = model.get('baseline', {'days': 14}) %}
    {% set settings = ml_monitoring.settings() %}
    {% set whose = ', scored by ' ~ baseline.model_version if 'model_version' in baseline else '' %}
    {% set period = 'the first ' ~ baseline.days ~ ' days' if 'days' in baseline
        else 'the training set ' ~ baseline.path ~ whose if 'path' in baseline
        else 'the training relation ' ~ baseline.relation ~ whose if 'relation' in baseline
        else ml_monitoring.parse_moment(baseline.start)[:10] ~ ' to '
            ~ ml_monitoring.parse_moment(baseline.end)[:10] %}
    {% set others = ' days of a version that it has no scores of; '
        if ml_monitoring.training_source(baseline) else ' days of a later version; ' %}
    {{ return(period ~ ', or the first ' ~ settings.version_baseline_days ~ others
        ~ settings.drift_bins ~ ' bins'
        ~ ('; revision ' ~ baseline.revision if 'revision' in baseline else '')) }}
{% endmacro %}
