{# A window definition: the windows of the same metric that end in the 30 days up to the start of
   the current one, among windows of whole days of a relation like int_metric_values. #}
{% macro month_before() -%}
    partition by
        model_name, model_version, role, slice_key, slice_value, window_size, label_view,
        feature, comparison, metric, home_table
    order by window_end
    range between -- noqa: PRS
    (window_end - window_start) + interval '30 days' - interval '1 microsecond'
    preceding and (window_end - window_start) preceding
{%- endmacro %}


{# So many of them make a baseline. #}
{% macro least_baseline_windows() %}{{ return(7) }}{% endmacro %}
