{# The edges of the score bins that performance is estimated by: the fine grid for probabilities,
   those of the baseline for the values that a regression predicts. Null for models of many classes.
   In a query that has `models`. #}
{% macro estimation_edges() -%}
    case models.task
        when 'binary_classification'
            then (select edges from {{ ref('int_score_edges') }} where grid = 'fine')
        {%- for monitored in ml_monitoring.monitored_models() if monitored.task == 'regression' %}
        {{- '\n        when \'regression\' then case models.model_name' if loop.first }}
            when {{ ml_monitoring.text_literal(monitored.name) }}
                then (
                    select bins.edges
                    from {{ ref('int_baseline_bins') }} as bins
                    inner join {{ ref('int_monitored_models') }} as own
                        on
                            bins.model_name = own.model_name
                            and bins.baseline_version = own.baseline_version
                    where
                        own.model_name = {{ ml_monitoring.text_literal(monitored.name) }}
                        and bins.feature = 'score'
                )
        {{- ' end' if loop.last }}
        {%- endfor %}
    end
{%- endmacro %}



{# What labels say of the metric that an estimate is of, in a query that has `estimates`, and by `view`
   the performance as one label_view has it. #}
{% macro metric_by_labels(view) -%}
    case estimates.metric
        {%- for metric in ml_monitoring.estimated_metrics() %}
        when '{{ metric }}' then {{ view }}.{{ metric | replace('estimated_', '') }}
        {%- endfor %}
    end
{%- endmacro %}
