-- A number that does not exist is null with a reason, never NaN or an infinity: one of them makes
-- every average and chart above it useless. All double columns of all public tables.
-- The rows of monitoring_metrics are looked at in their home tables too.
{% set some_of_them = "where window_size in ('6h', '7d') and home_table <> 'feature_drift'" %}
{% set tables = [
    ref('data_quality'), ref('label_coverage'), ref('monitoring_metrics'), ref('service_levels'),
    ref('service_levels_minute'), ref('service_levels_rolling'), ref('service_traffic'),
    ref('slo_report'), ref('slo_status'), ref('feature_drift'), ref('feature_distributions'),
    ref('model_performance'), ref('calibration'), ref('reliability_curve'), ref('group_metrics'),
    ref('fairness'), ref('label_corrections'), ref('alert_evaluations'), ref('alert_lines'),
    ref('alerts'), ref('alert_board'), ref('recalibration_plan'),
    ref('custom_metrics'),
    ref('multivariate_drift'), ref('multivariate_drift_features'),
    ref('label_view_changes'), ref('slice_changes'),
    ref('estimated_performance'), ref('feature_integrity'), ref('daily_outcomes'),
    ref('shadow_comparison'), ref('shadow_disagreements'), ref('launch_criteria'),
    ref('root_cause_contributions'), ref('root_cause_suspects'),
    ref('release_comparison'), ref('fairness_calibration_board'),
] %}
{% for node in graph.nodes.values() if execute and node.package_name == 'ml_monitoring'
    and node.resource_type == 'model' and node.access == 'public' %}
{% set columns = node.columns.values() | selectattr('data_type', 'equalto', 'double')
    | map(attribute='name') | list %}
{% set table = tables | selectattr('identifier', 'equalto', node.alias) | first %}
{% if columns and not table %}
    {{ exceptions.raise_compiler_error(
        'The test no_nan_or_infinity does not look at ' ~ node.name ~ ': add it to its tables.') }}
{% elif columns %}
select
    '{{ node.name }}' as table_name,
    count(*) as row_count
from (
    select * from {{ table }} {{ some_of_them if node.name == 'monitoring_metrics' }}
)
where
    not (
        {% for column in columns %}
        coalesce(isfinite({{ column }}), true) {{ 'and' if not loop.last }}
        {% endfor %}
    )
having count(*) > 0
union all
{% endif %}
{% endfor %}
select
    null::varchar as table_name,
    null::bigint as row_count
where false
