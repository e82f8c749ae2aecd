{# The columns of int_performance that hold a metric of how good or how calibrated the model is. #}

{# Metrics with the ends of their intervals. #}
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
         'average_precision_error_bound', 'average_precision_lower', 'average_precision_upper']
        + ml_monitoring.rate_columns([
            'f1', 'positive_rate', 'precision', 'recall', 'accuracy', 'selection_rate',
            'true_positive_rate', 'false_positive_rate',
        ])
        + ml_monitoring.rate_columns(['brier_score', 'log_loss'])
    ) }}
{% endmacro %}


{% macro calibration_columns() %}
    {{ return(
        ml_monitoring.rate_columns(['ece'])
        + ['ece_noise_floor', 'mce', 'mean_score']
        + ml_monitoring.rate_columns(['calibration_slope', 'calibration_intercept'])
    ) }}
{% endmacro %}
