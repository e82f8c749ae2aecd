{# By what the models that read events are shared out among workers, on Spark: the key of the files
   that a share reads. All other models read summaries, and are built on the driver.

   landing_files  some of the files that came in
   part           what was read from the same landing files
   lake_bucket    all lines of some requests
   event_date     all events of some dates
   whole          everything, in one worker: small results that fit no key

   `lake`: the result is of the size of the events itself, and kept in files by these keys.
   `where`: the column of the result by which a share keeps what is its own, if not `event_date`. #}
{% macro shares() %}
    {% set by_date = {'by': 'event_date', 'where': 'event_date'} %}
    {% set by_hour = {'by': 'event_date', 'where': 'event_hour::date'} %}
    {% set by_request = {'by': 'lake_bucket'} %}
    {% set by_part = {'by': 'part'} %}
    {% set whole = {'by': 'whole'} %}
    {{ return({
        'stg_inference_lines':
            {'by': 'landing_files', 'input': 'inference_events', 'lake': ['event_date', 'lake_bucket']},
        'stg_label_lines': {'by': 'landing_files', 'input': 'labels', 'lake': ['lake_bucket']},
        'int_label_history': {'by': 'lake_bucket', 'lake': ['event_date', 'lake_bucket']},
        'int_prediction_bins': {'by': 'event_date', 'lake': ['event_date'], 'where': 'event_date'},
        'int_shadow_pairs': {'by': 'lake_bucket', 'lake': ['event_date']},
        'int_shadow_label_days':
            {'by': 'event_date', 'lake': ['event_date'], 'where': 'event_date'},

        'int_contested_identities': by_request,
        'int_duplicate_lines': by_request,
        'int_affected_requests': by_request,
        'int_held_lines': whole,
        'int_ingested_files': whole,
        'int_file_hours': by_part,
        'int_field_issues': by_part,
        'int_rejected_lines': whole,
        'int_label_outcomes': whole,
        'int_label_file_hours': whole,
        'int_label_revisions': by_date,
        'int_baseline_bins': whole,

        'int_service_minutes': by_hour,
        'int_service_hours': by_hour,
        'int_service_days': by_date,
        'int_error_hours': by_hour,
        'int_upstream_hours': by_hour,
        'int_preprocessing_hours': by_hour,
        'int_prediction_counts': by_date,
        'int_feature_samples': by_date,
        'int_feature_days': by_date,
        'int_integrity_days': by_date,
        'int_type_change_days': by_date,
        'int_estimation_days': by_date,
        'int_error_days': by_date,
        'int_label_coverage_days': by_date,
        'int_labelled_days': by_date,
        'int_regression_days': by_date,
        'int_multiclass_days': by_date,
        'int_release_days': by_date,
        'int_release_label_days': by_date,
        'int_shadow_days': by_date,
        'int_disagreement_days': by_date,
    }) }}
{% endmacro %}


{# How this model is shared out; nothing where it is not. #}
{% macro share_of(name) %}
    {{- return(ml_monitoring.shares().get(name, {}) if ml_monitoring.is_on_spark() else {}) -}}
{% endmacro %}
