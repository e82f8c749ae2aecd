-- Grain: one monitored model, as configured.
{% for model in monitored_models() %}
select
    {{ text_literal(model.name) }} as model_name,
    '{{ model.task }}' as task,
    {{ model.decision_threshold }}::double as decision_threshold,
    {% if 'start' in model.baseline %}
    timestamp '{{ parse_moment(model.baseline.start) }}' as baseline_start,
    timestamp '{{ parse_moment(model.baseline.end) }}' as baseline_end,
    {% else %}
    null::timestamp as baseline_start,
    null::timestamp as baseline_end,
    {% endif %}
    -- Beside a training set, days are still needed for what it has not, as the hours with traffic.
    {{ settings().version_baseline_days if training_source(model.baseline)
        else model.baseline.get('days', 'null') }}::integer as baseline_days,
    {{ text_literal(model.baseline_definition) }} as baseline_definition,
    '{{ local_md5(model.baseline_definition)[:8] }}' as baseline_version,
    {{ feature_list(model) }} as features,
    {{ model.min_label_coverage }}::double as min_label_coverage,
    {{ model.label_grace_hours }}::double as label_grace_hours,
    [{{ text_literals(
        model.protected_attributes + model.intersections | map(attribute='name') | list
    ) }}]::varchar [] as protected_attributes
{{ 'union all' if not loop.last }}
{% endfor %}
