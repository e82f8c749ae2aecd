{# The criteria of a launch decision, as python_udfs/launch.py judges them: how much worse than the
   live version is allowed, in the unit of the metric (of a latency relative), and what there must
   be at least. These are the margins of a model that has none of its own. #}
{% macro default_launch_margins() %}
    {{ return({
        'labeled_pairs': 5000, 'shadow_days': 14, 'partner_rate': 0.95,
        'roc_auc': 0.01, 'ece': 0.02, 'latency_p95_ms': 0.2, 'error_rate': 0.005,
        'equal_opportunity_difference': 0.05,
    }) }}
{% endmacro %}


{# Those of the whole model. #}
{% macro whole_launch_criteria() %}
    {{ return(['labeled_pairs', 'shadow_days', 'partner_rate', 'roc_auc', 'accuracy', 'ece',
               'latency_p95_ms', 'error_rate']) }}
{% endmacro %}


{# Those of a protected attribute: gaps between its groups. #}
{% macro group_launch_criteria() %}
    {{ return(['demographic_parity_difference', 'equal_opportunity_difference',
               'predictive_equality_difference']) }}
{% endmacro %}


{% macro launch_margin_columns() %}
    {{ return(['model_name', 'criterion', 'slice_key', 'margin', 'comment']) }}
{% endmacro %}
