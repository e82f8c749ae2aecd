-- Nothing is built from slo_report: a breach fails the tests that read it, and dbt would skip
-- whatever is downstream, just when people need to look at it.
-- depends_on: {{ ref('slo_report') }}
{% for node in graph.nodes.values() if execute
    and 'model.ml_monitoring.slo_report' in node.depends_on.nodes
    and node.resource_type not in ['test', 'analysis'] %}
select {{ text_literal(node.unique_id) }} as dependent
union all
{% endfor %}
select null::varchar as dependent
where false
