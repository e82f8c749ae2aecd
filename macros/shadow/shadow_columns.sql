{# The columns of int_shadow_comparison that hold a number: what needs no label, and what does. #}

{% macro shadow_service_columns() %}
    {% set columns = ['partner_rate', 'partner_rate_lower', 'partner_rate_upper', 'missing_pvalue',
                      'missing_qvalue', 'disagreement_rate'] %}
    {% for name in ['latency_p50', 'latency_p95', 'latency_p99'] %}
        {% do columns.extend(['live_' ~ name ~ '_ms', 'shadow_' ~ name ~ '_ms', name ~ '_ratio']) %}
    {% endfor %}
    {{ return(columns + ['live_error_rate', 'shadow_error_rate']
        + ml_monitoring.with_intervals(['error_rate_difference']) + ['error_rate_pvalue']) }}
{% endmacro %}


{% macro shadow_labelled_columns() %}
    {% set columns = ['live_roc_auc', 'shadow_roc_auc']
        + ml_monitoring.with_intervals(['roc_auc_difference'])
        + ['roc_auc_difference_error_bound', 'roc_auc_pvalue', 'live_accuracy', 'shadow_accuracy']
        + ml_monitoring.with_intervals(['accuracy_difference'])
        + ['accuracy_pvalue', 'live_ece', 'shadow_ece']
        + ml_monitoring.with_intervals(['ece_difference']) %}
    {% for name in ['selection_rate', 'true_positive_rate', 'false_positive_rate']
        + ml_monitoring.group_launch_criteria() %}
        {% do columns.extend(['live_' ~ name, 'shadow_' ~ name]) %}
    {% endfor %}
    {{ return(columns) }}
{% endmacro %}
