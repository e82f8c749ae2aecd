{# What the bins of a feature are made from, measured on its baseline: a struct of aggregates. #}
{% macro bin_measures(model, feature) -%}
    {%- set value = ml_monitoring.feature_value(feature, 'predictions') -%}
    {%- set is_number = feature.type in ['numerical', 'prediction'] -%}
    {%- set bins = ml_monitoring.settings().drift_bins -%}
    struct_pack(
        model_name := {{ ml_monitoring.text_literal(model.name) }},
        feature := {{ ml_monitoring.text_literal(feature.name) }},
        {%- if is_number %}
        distinct_values := list(distinct {{ value }}) filter (isfinite({{ value }})),
        quantiles := quantile_disc(
            {{ value }}, list_transform(range(1, {{ bins }}), lambda k: k / {{ bins }})
        ) filter (isfinite({{ value }})),
        category_counts := null::map(varchar, ubigint)
        {%- else %}
        distinct_values := null::double [],
        quantiles := null::double [],
        category_counts := histogram({{ value }})
        {%- endif %}
    )
{%- endmacro %}


{# The edges of the bins of a discrete feature: a bin for each value, and one for each gap. #}
{% macro discrete_edges(distinct_values) -%}
    list_sort(list_concat(
        {{ distinct_values }},
        list_transform({{ distinct_values }}, lambda v: {{ ml_monitoring.previous_double('v') }})
    ))
{%- endmacro %}


{# The edges of quantile bins from just below the minimum to the maximum. A value that several
   quantiles fall on has a bin of its own. #}
{% macro quantile_edges(distinct_values, quantiles) -%}
    list_sort(list_distinct(list_concat(
        list_concat({{ quantiles }}, [list_max({{ distinct_values }})]),
        list_transform(
            list_concat(
                list_filter({{ quantiles }}, lambda v, i: v = {{ quantiles }}[i - 1]),
                [list_min({{ distinct_values }})]
            ),
            lambda v: {{ ml_monitoring.previous_double('v') }}
        )
    )))
{%- endmacro %}


{# The categories of a map from category to count: the most frequent first, equals by name. #}
{% macro by_frequency(category_counts) -%}
    list_transform(
        list_sort(list_transform(
            coalesce(map_entries({{ category_counts }}), []),
            lambda entry: struct_pack(rank := -entry.value::bigint, category := entry.key)
        )),
        lambda entry: entry.category
    )
{%- endmacro %}


{# A group of counted bins as a map from the number of the bin to its count. #}
{% macro filled_bins(bin, bin_count) -%}
    map_from_entries(coalesce(
        list(struct_pack(bin := {{ bin }}::integer, bin_count := {{ bin_count }}::bigint) order by {{ bin }})
            filter (where {{ bin }} is not null),
        []
    ))
{%- endmacro %}


{# How far the values of a feature reach: a struct of aggregates. #}
{% macro feature_extremes(feature) -%}
    {%- set value = ml_monitoring.feature_value(feature, 'predictions') -%}
    struct_pack(
        feature := {{ ml_monitoring.text_literal(feature.name) }},
        value_min := min({{ value }}) filter (isfinite({{ value }})),
        value_max := max({{ value }}) filter (isfinite({{ value }})),
        infinite_count := count(*) filter (isinf({{ value }}))
    )
{%- endmacro %}


{# One step of a binary search for the feature at a position: how many edges are below its value? #}
{% macro search_step(position, step) -%}
    below_{{ position }} + case
                when edges_{{ position }}[below_{{ position }} + {{ step }}] < value_{{ position }}
                    then {{ step }}
                else 0
            end
{%- endmacro %}


{# How many edges the bins of a feature can have: two for each bin, some 1,100 for a probability,
   none for categories. #}
{% macro most_edges(model, feature) %}
    {% set is_probability = feature.type == 'prediction' and model.task != 'regression' %}
    {{ return(
        0 if feature.type not in ['numerical', 'prediction']
        else ml_monitoring.most_score_edges() if is_probability
        else 2 * ml_monitoring.settings().drift_bins
    ) }}
{% endmacro %}


{# How many edges the grid of python_udfs/score_bins.py can have, calibration bins included. #}
{% macro most_score_edges() %}
    {{ return(1100 + ml_monitoring.settings().calibration_bins) }}
{% endmacro %}


{# The steps of a binary search over so many edges: powers of two, falling. #}
{% macro search_steps(most_edges) %}
    {% set steps = [1] %}
    {% for doubling in range(30) if steps[-1] * 2 <= most_edges %}
        {% do steps.append(steps[-1] * 2) %}
    {% endfor %}
    {{ return(steps | reverse | list) }}
{% endmacro %}
