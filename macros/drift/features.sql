{# What drift is computed for: the features of a model and its outputs, the score and, among
   several classes, the predicted one. #}
{% macro drift_features(model) %}
    {% set outputs = [{'name': 'score', 'type': 'prediction'}] %}
    {% if model.task == 'multiclass_classification' %}
        {% do outputs.append({'name': 'prediction', 'type': 'categorical', 'is_output': true}) %}
    {% endif %}
    {{ return(model.features + outputs) }}
{% endmacro %}


{# Whether a feature is an output of its model, so that each version has a baseline of its own. #}
{% macro is_output(feature, task) -%}
    ({{ feature }} = 'score' or {{ feature }} = 'prediction' and {{ task }} = 'multiclass_classification')
{%- endmacro %}


{# The types of features that are numbers, a timestamp by its age in hours. #}
{% macro number_types() %}{{ return(['numerical', 'timestamp', 'prediction']) }}{% endmacro %}


{# The value of a feature of an event, in the structs of the staging table. #}
{% macro feature_value(feature, events) -%}
    {%- if feature.type == 'prediction' -%} {{ events }}.score
    {%- elif feature.is_output -%} {{ events }}.prediction
    {%- elif feature.type in ml_monitoring.number_types() -%}
        {{ events }}.numerical_features.{{ adapter.quote(feature.name) }}
    {%- else -%} {{ events }}.categorical_features.{{ adapter.quote(feature.name) }}
    {%- endif -%}
{%- endmacro %}


{# The features of a model with their types, as a list of structs. #}
{% macro feature_list(model) -%}
    [
        {%- for feature in model.features %}
        struct_pack(name := {{ ml_monitoring.text_literal(feature.name) }}, type := '{{ feature.type }}')
        {{- ',' if not loop.last }}
        {%- endfor %}
    ]::struct(name varchar, type varchar) []
{%- endmacro %}


{# The columns of int_prediction_bins that hold these features, in the same order. #}
{% macro feature_bin_list(model) -%}
    [
        {%- for feature in model.features %} bins.bin_{{ loop.index }}{{ ',' if not loop.last }}
        {%- endfor %} ]::smallint []
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
