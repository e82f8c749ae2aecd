{# By what the models that read events are shared out among workers, on Spark: the key of the files
   that a share reads. All other models read summaries, and are built on the driver.

   landing_files  some of the files that came in
   part           what was read from the same landing files
   lake_bucket    all lines of some requests
   event_date     all events of some dates
   whole          everything, in one worker: small results that fit no key

   `lake`: the result is of the size of the events itself, and kept in files by these keys.
   `where`: the column of the result by which a share keeps what is its own.
   `wanted` and `key`: what the model's stale_keys are asked of, so that only their dates are read;
   `dates`: a relation with the dates to read. #}
{% macro shares() %}
    {% set by_date = {'by': 'event_date', 'where': 'event_date', 'key': 'event_date'} %}
    {% set by_hour = {'by': 'event_date', 'where': 'event_hour::date', 'key': 'event_hour',
                      'wanted': 'int_event_hours'} %}
    {% set by_request = {'by': 'lake_bucket'} %}
    {% set by_part = {'by': 'part'} %}
    {% set whole = {'by': 'whole'} %}
    {{ return({
        'stg_inference_lines': {'by': 'landing_files', 'input': 'inference_events',
                                'lake': ['event_date', 'lake_bucket']},
        'stg_label_lines': {'by': 'landing_files', 'input': 'labels', 'lake': ['lake_bucket']},
        'int_label_history': dict(by_request, lake=['event_date', 'lake_bucket']),
        'int_prediction_bins': dict(by_date, lake=['event_date'], dates='int_prediction_cells'),
        'int_shadow_pairs': dict(by_request, lake=['event_date']),
        'int_shadow_label_days': dict(by_date, lake=['event_date']),

        'int_contested_identities': by_request,
        'int_duplicate_lines': by_request,
        'int_affected_requests': by_request,
        'int_file_hours': by_part,
        'int_field_issues': by_part,
        'int_held_lines': whole,
        'int_ingested_files': whole,
        'int_rejected_lines': whole,
        'int_label_outcomes': whole,
        'int_label_file_hours': whole,
        'int_label_revisions': by_date,
        'int_baseline_bins': whole,

        'int_service_minutes': by_hour,
        'int_service_hours': by_hour,
        'int_error_hours': by_hour,
        'int_upstream_hours': by_hour,
        'int_preprocessing_hours': by_hour,
        'int_service_days': dict(by_date, wanted='int_event_dates'),
        'int_integrity_days': dict(by_date, wanted='int_event_dates'),
        'int_type_change_days': dict(by_date, wanted='int_event_dates'),
        'int_prediction_counts': by_date,
        'int_feature_samples': dict(by_date, dates='int_prediction_cells'),
        'int_feature_days': dict(by_date, dates='int_prediction_groups'),
        'int_estimation_days': dict(by_date, wanted='int_estimation_dates'),
        'int_error_days': dict(by_date, wanted='int_estimation_dates'),
        'int_label_coverage_days': dict(by_date, wanted='int_label_dates'),
        'int_labelled_days': dict(by_date, wanted='int_label_dates'),
        'int_regression_days': dict(by_date, wanted='int_label_dates'),
        'int_multiclass_days': dict(by_date, wanted='int_label_dates'),
        'int_release_days': dict(by_date, wanted='int_release_dates'),
        'int_release_label_days': dict(by_date, wanted='int_release_dates'),
        'int_shadow_days': dict(by_date, wanted='int_shadow_dates'),
        'int_disagreement_days': dict(by_date, wanted='int_disagreement_dates'),
    }) }}
{% endmacro %}


{# How a model is shared out; nothing where it is not. #}
{% macro share_of(name) %}
    {{- return(ml_monitoring.shares().get(name, {}) if ml_monitoring.is_on_spark() else {}) -}}
{% endmacro %}
