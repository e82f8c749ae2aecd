-- Nothing that a main build makes is made from what streaming runs leave: what they read, and when,
-- must not matter to it.
-- depends_on: {{ ref('int_as_of') }}
{% for node in graph.nodes.values() if execute and node.package_name == 'ml_monitoring'
    and node.resource_type == 'model' and 'streaming' not in node.tags %}
{% for parent in node.depends_on.nodes
    if 'streaming' in graph.nodes.get(parent, {}).get('tags', []) %}
select
    {{ text_literal(node.name) }} as model,
    {{ text_literal(parent) }} as made_from
union all
{% endfor %}
{% endfor %}
select
    null::varchar as model,
    null::varchar as made_from
where false
