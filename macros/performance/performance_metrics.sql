{# The columns of int_performance that hold a metric of how good or how calibrated the model is. #}

{% macro rate_columns(names) %}
    {% set columns = [] %}
    {% for name in names %}
        {% do columns.extend([name, name ~ '_lower', name ~ '_upper']) %}
    {% endfor %}
    {{ return(columns) }}
{% endmacro %}


{% macro performance_columns() %}
    {{ return(
        ['roc_auc', 'roc_auc_error_bound', 'roc_auc_lower', 'roc_auc_upper', 'average_precision',
         'average_precision_error_bound', 'f1']
        + ml_monitoring.rate_columns([
            'positive_rate', 'precision', 'recall', 'accuracy', 'selection_rate',
            'true_positive_rate', 'false_positive_rate',
        ])
        + ['brier_score', 'log_loss']
    ) }}
{% endmacro %}


{% macro calibration_columns() %}
    {{ return(['ece', 'ece_noise_floor', 'mce', 'mean_score', 'calibration_slope',
               'calibration_intercept']) }}
{% endmacro %}
