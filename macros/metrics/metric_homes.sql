{# Where each metric is at home: the public table and column that it enters monitoring_metrics
   from, the column that counts what it was computed from, and whether the table's data_status is
   about these metrics. One row there for each; a test holds that no metric has two homes for one
   window_size. `where` keeps the rows that have such a metric, `tasks` those of models of these
   tasks; `column` is where its value is, if not in one of its name; `undefined` is the status of
   a value that is null where the table is ok; `is_long` is a table that has the
   metric's name in a column; `bounds` and `intervals` name the metrics with a column for their
   error bound, or two for their interval. Of a table with metrics of both kinds, `labelled` names
   those that need labels. #}
{% macro metric_homes() %}
    {% set custom = ml_monitoring.custom_metrics() %}
    {{ return(ml_monitoring.built_in_metric_homes() + [
        {'table': 'custom_metrics', 'metrics': custom | map(attribute='name') | list,
         'labelled': custom | selectattr('over', 'equalto', 'labels') | map(attribute='name') | list,
         'is_long': true, 'sample_count': 'sample_count', 'label_view': true, 'data_status': true},
    ]) }}
{% endmacro %}


{% macro built_in_metric_homes() %}
    {% set latencies = ['latency_p50_ms', 'latency_p95_ms', 'latency_p99_ms', 'latency_mean_ms',
                        'latency_max_ms', 'inference_time_p50_ms', 'inference_time_p95_ms'] %}
    {% set service = ['request_count', 'requests_per_minute', 'error_count', 'error_rate',
                      'slow_count', 'slow_rate'] + latencies %}
    {% set rates = ['positive_rate', 'precision', 'recall', 'selection_rate',
                    'true_positive_rate', 'false_positive_rate'] %}
    {% set integrity = {'table': 'feature_integrity', 'column': 'value', 'feature': true,
                        'sample_count': 'sample_count', 'data_status': true} %}
    {% set performance = {'table': 'model_performance', 'sample_count': 'labeled_count',
                          'label_view': true, 'data_status': true} %}
    {{ return([
        {'table': 'service_levels', 'metrics': service, 'sample_count': 'request_count'},
        {'table': 'service_levels_minute', 'metrics': service, 'sample_count': 'request_count'},
        {'table': 'service_levels_rolling', 'metrics': service, 'sample_count': 'request_count'},
        {'table': 'service_traffic', 'metrics': ['requests_vs_week_before'],
         'sample_count': 'expected_request_count'},
        {'table': 'service_traffic', 'metrics': ['is_unexpectedly_silent'],
         'sample_count': 'expected_request_count', 'data_status': true},
        {'table': 'label_coverage',
         'metrics': ['label_coverage', 'labeled_count', 'label_delay_p50_hours',
                     'label_delay_p95_hours'],
         'sample_count': 'prediction_count', 'label_view': true, 'data_status': true},
        {'table': 'label_corrections',
         'metrics': ['corrected_label_count', 'label_correction_rate'],
         'sample_count': 'label_count'},
        {'table': 'data_quality',
         'metrics': ['reject_rate', 'duplicate_rate', 'field_issue_rate'],
         'sample_count': 'line_count'},
        {'table': 'feature_drift', 'metrics': ['psi', 'js_distance', 'current_null_rate'],
         'sample_count': 'current_count', 'feature': true, 'data_status': true},
        {'table': 'feature_drift',
         'metrics': ['ks_statistic', 'wasserstein_distance', 'out_of_range_rate'],
         'sample_count': 'current_count', 'feature': true, 'data_status': true,
         'where': "feature_type in ('numerical', 'timestamp', 'prediction')",
         'bounds': {'ks_statistic': 'ks_statistic_error_bound',
                    'wasserstein_distance': 'wasserstein_distance_error_bound'}},
        {'table': 'feature_drift', 'metrics': ['new_category_rate'],
         'sample_count': 'current_count', 'feature': true, 'data_status': true,
         'where': "feature_type in ('categorical', 'boolean')"},
        dict(integrity, metrics=['type_change_rate'], where="integrity_check = 'type_change'"),
        dict(integrity, metrics=['unit_change_share'], where="integrity_check = 'unit_change'"),
        dict(integrity, metrics=['stuck_share'], where="integrity_check = 'stuck'"),
        dict(integrity, metrics=['duplicated_share'], where="integrity_check = 'duplicated'"),
        dict(integrity, metrics=['hash_mismatch_rate'], feature=false,
             where="integrity_check = 'hash_mismatch'"),
        {'table': 'multivariate_drift', 'metrics': ['domain_classifier_auc'],
         'sample_count': 'current_count', 'data_status': true,
         'intervals': ['domain_classifier_auc']},
        dict(performance, tasks=['binary_classification'],
             metrics=['roc_auc', 'average_precision', 'f1', 'brier_score', 'log_loss'] + rates,
             bounds={'roc_auc': 'roc_auc_error_bound',
                     'average_precision': 'average_precision_error_bound'},
             intervals=['roc_auc', 'average_precision', 'f1', 'brier_score', 'log_loss'] + rates),
        dict(performance, tasks=['binary_classification', 'multiclass_classification'],
             metrics=['accuracy'], intervals=['accuracy']),
        dict(performance, tasks=['multiclass_classification'],
             metrics=ml_monitoring.multiclass_metrics(),
             intervals=ml_monitoring.multiclass_metrics()),
        dict(performance, tasks=['regression'], undefined='not_estimable',
             metrics=ml_monitoring.regression_metrics(),
             intervals=ml_monitoring.regression_metrics()),
        {'table': 'calibration',
         'metrics': ['ece', 'ece_noise_floor', 'ece_excess', 'mce', 'mean_score'],
         'sample_count': 'labeled_count', 'label_view': true, 'data_status': true,
         'intervals': ['ece']},
        {'table': 'calibration', 'metrics': ['calibration_slope', 'calibration_intercept'],
         'sample_count': 'labeled_count', 'label_view': true, 'data_status': true,
         'status': 'line_status',
         'intervals': ['calibration_slope', 'calibration_intercept']},
        {'table': 'fairness',
         'metrics': ml_monitoring.fairness_metrics(), 'is_long': true,
         'sample_count': 'labeled_count', 'label_view': true, 'data_status': true,
         'intervals': ['value']},
        {'table': 'estimated_performance',
         'metrics': ml_monitoring.estimated_metrics(), 'is_long': true,
         'sample_count': 'prediction_count', 'data_status': true, 'intervals': ['value']},
    ]) }}
{% endmacro %}


{# The metrics of service_levels and its likes. #}
{% macro service_metrics() %}
    {{ return(ml_monitoring.built_in_metric_homes()[0].metrics) }}
{% endmacro %}


{# The metrics that are known only once labels are, a row for each label_view. #}
{% macro labelled_metrics() %}
    {% set names = [] %}
    {% for home in ml_monitoring.metric_homes() if home.label_view %}
        {% do names.extend(home.get('labelled', home.metrics)) %}
    {% endfor %}
    {{ return(names) }}
{% endmacro %}


{# Gaps between the groups of a protected attribute. #}
{% macro fairness_metrics() %}
    {{ return(['demographic_parity_difference', 'demographic_parity_ratio',
               'equal_opportunity_difference', 'predictive_equality_difference',
               'equalized_odds_difference', 'predictive_parity_difference']) }}
{% endmacro %}


{# The metrics whose home is one of these tables. #}
{% macro metrics_of(tables) %}
    {% set names = [] %}
    {% for home in ml_monitoring.metric_homes() if home.table in tables %}
        {% do names.extend(home.metrics) %}
    {% endfor %}
    {{ return(names) }}
{% endmacro %}


{# The metrics that each feature has. #}
{% macro feature_metrics() %}
    {% set names = [] %}
    {% for home in ml_monitoring.built_in_metric_homes() if home.feature %}
        {% do names.extend(home.metrics) %}
    {% endfor %}
    {{ return(names) }}
{% endmacro %}


{# The metrics that only models of other tasks have. #}
{% macro metrics_of_other_tasks(task) %}
    {% set names = [] %}
    {% for home in ml_monitoring.metric_homes() if home.tasks and task not in home.tasks %}
        {% do names.extend(home.metrics) %}
    {% endfor %}
    {{ return(names) }}
{% endmacro %}


{% macro metric_names() %}
    {% set names = [] %}
    {% for home in ml_monitoring.metric_homes() %}
        {% do names.extend(home.metrics) %}
    {% endfor %}
    {{ return(names | unique | list) }}
{% endmacro %}


{% macro built_in_metric_names() %}
    {% set names = [] %}
    {% for home in ml_monitoring.built_in_metric_homes() %}
        {% do names.extend(home.metrics) %}
    {% endfor %}
    {{ return(names | unique | list) }}
{% endmacro %}


{# The columns that every public table begins with. #}
{% macro shared_keys() %}
    {{ return(['model_name', 'model_version', 'role', 'slice_key', 'slice_value', 'window_size',
               'window_start', 'window_end']) }}
{% endmacro %}


{# What is estimated before labels are there: of classifiers of two classes, and of regressions. #}
{% macro estimated_metrics() %}
    {{ return(['estimated_roc_auc', 'estimated_accuracy', 'estimated_f1', 'estimated_precision',
               'estimated_recall', 'estimated_positive_rate', 'estimated_mae', 'estimated_rmse']) }}
{% endmacro %}
