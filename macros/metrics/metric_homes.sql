{# Where each metric is at home: the public table and column that it enters monitoring_metrics
   from, the column that counts what it was computed from, and whether the table's data_status is
   about these metrics. One row there for each; a test holds that no metric has two homes for one
   window_size. #}
{% macro metric_homes() %}
    {% set latencies = ['latency_p50_ms', 'latency_p95_ms', 'latency_p99_ms', 'latency_mean_ms',
                        'latency_max_ms', 'inference_time_p50_ms', 'inference_time_p95_ms'] %}
    {% set service = ['request_count', 'requests_per_minute', 'error_count', 'error_rate']
        + latencies %}
    {{ return([
        {'table': 'service_levels', 'metrics': service, 'sample_count': 'request_count'},
        {'table': 'service_levels_minute', 'metrics': service, 'sample_count': 'request_count'},
        {'table': 'service_levels_rolling', 'metrics': service, 'sample_count': 'request_count'},
        {'table': 'service_traffic', 'metrics': ['requests_vs_week_before'],
         'sample_count': 'expected_request_count'},
        {'table': 'service_traffic', 'metrics': ['is_unexpectedly_silent'],
         'sample_count': 'expected_request_count', 'data_status': true},
        {'table': 'label_coverage',
         'metrics': ['label_coverage', 'label_delay_p50_hours', 'label_delay_p95_hours'],
         'sample_count': 'prediction_count', 'label_view': true, 'data_status': true},
        {'table': 'data_quality',
         'metrics': ['reject_rate', 'duplicate_rate', 'field_issue_rate'],
         'sample_count': 'line_count'},
    ]) }}
{% endmacro %}


{# The metrics of service_levels and its likes. #}
{% macro service_metrics() %}
    {{ return(ml_monitoring.metric_homes()[0].metrics) }}
{% endmacro %}


{% macro metric_names() %}
    {% set names = [] %}
    {% for home in ml_monitoring.metric_homes() %}
        {% do names.extend(home.metrics) %}
    {% endfor %}
    {{ return(names | unique | list) }}
{% endmacro %}


{# The columns that every public table begins with. #}
{% macro shared_keys() %}
    {{ return(['model_name', 'model_version', 'role', 'slice_key', 'slice_value', 'window_size',
               'window_start', 'window_end']) }}
{% endmacro %}
