-- Grain: one feature of a model to which the configuration gives an importance.
{% for given in given_importances() %}
select
    {{ text_literal(given.model) }} as model_name,
    {{ text_literal(given.feature) }} as feature,
    {{ given.importance }}::double as importance
union all
{% endfor %}
select
    null::varchar as model_name,
    null::varchar as feature,
    null::double as importance
where false
