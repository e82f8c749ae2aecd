{# The columns of int_performance that hold a metric of how good or how calibrated the model is. #}

{# Metrics with the ends of their intervals. #}
{% macro with_intervals(names) %}
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
        + ml_monitoring.with_intervals([
            'f1', 'positive_rate', 'precision', 'recall', 'accuracy', 'selection_rate',
            'true_positive_rate', 'false_positive_rate',
        ])
        + ml_monitoring.with_intervals(['brier_score', 'log_loss'])
        + ml_monitoring.with_intervals(ml_monitoring.regression_metrics())
        + ['zero_label_count']
        + ml_monitoring.with_intervals(ml_monitoring.multiclass_metrics())
    ) }}
{% endmacro %}


{% macro regression_metrics() %}
    {{ return(['mae', 'rmse', 'mape', 'r2', 'mean_error']) }}
{% endmacro %}


{# Averages over classes; accuracy is among the rates. #}
{% macro multiclass_metrics() %}
    {{ return(['macro_precision', 'macro_recall', 'macro_f1',
               'weighted_precision', 'weighted_recall', 'weighted_f1']) }}
{% endmacro %}


{% macro calibration_columns() %}
    {{ return(
        ml_monitoring.with_intervals(['ece'])
        + ['ece_noise_floor', 'mce', 'mean_score']
        + ml_monitoring.with_intervals(['calibration_slope', 'calibration_intercept'])
    ) }}
{% endmacro %}
