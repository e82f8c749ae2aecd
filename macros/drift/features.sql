{# What drift is computed for: the features of a model and its output. #}
{% macro drift_features(model) %}
    {{ return(model.features + [{'name': 'score', 'type': 'prediction'}]) }}
{% endmacro %}


{# The value of a feature of an event, in the structs of the staging table. #}
{% macro feature_value(feature, events) -%}
    {%- if feature.type == 'prediction' -%} {{ events }}.score
    {%- elif feature.type == 'numerical' -%}
        {{ events }}.numerical_features.{{ adapter.quote(feature.name) }}
    {%- else -%} {{ events }}.categorical_features.{{ adapter.quote(feature.name) }}
    {%- endif -%}
{%- endmacro %}


{# The number of the features of the model that has the most, its output included. #}
{% macro most_features() %}
    {% set counts = [] %}
    {% for model in ml_monitoring.monitored_models() %}
        {% do counts.append(ml_monitoring.drift_features(model) | length) %}
    {% endfor %}
    {{ return(counts | max) }}
{% endmacro %}


{# The columns of int_feature_drift that hold a statistic. #}
{% macro drift_columns() %}
    {{ return([
        'baseline_null_rate', 'current_null_rate', 'new_category_rate', 'out_of_range_rate',
        'psi', 'psi_noise_floor',
        'psi_noise_q95', 'psi_own_windows_q95', 'ks_statistic', 'ks_statistic_error_bound',
        'ks_pvalue', 'js_distance', 'wasserstein_distance', 'wasserstein_distance_error_bound',
        'chi2_statistic', 'chi2_pvalue', 'qvalue',
    ]) }}
{% endmacro %}
