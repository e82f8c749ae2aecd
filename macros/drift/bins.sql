{# What the bins of a feature are made from, measured on its baseline: a struct of aggregates. #}
{% macro bin_measures(model, feature) -%}
    {%- set value = ml_monitoring.feature_value(feature, 'predictions') -%}
    {%- set is_number = feature.type in ml_monitoring.number_types() -%}
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
        0 if feature.type not in ml_monitoring.number_types()
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


{# The common table expressions that find for each of the `predictions` of some models the bin of
   each feature, by its position: a number's is how many edges of `bins` are below it, a category's
   its place. The last one, `binned`, has them beside the columns `carried`. #}
{% macro binned_ctes(models, carried) -%}
-- A category has the number of its place in the baseline; after those come the number of the
-- other categories of the baseline, and that of categories that it did not have.
places as (
    select
        model_name,
        feature,
        unnest(categories) as category,
        unnest(range(len(categories))) as place
    from bins
    where categories is not null
    union all
    select
        model_name,
        feature,
        unnest(other_categories) as category,
        len(categories) as place
    from bins
    where categories is not null
),

{% for model in models %}
{% set number = loop.index %}
{% set model_literal = ml_monitoring.text_literal(model.name) %}
{% set features = ml_monitoring.drift_features(model) %}
valued_{{ number }} as (
    select
        {% for feature in features %}
        {% set of_feature = 'where model_name = ' ~ model_literal ~ ' and feature = '
            ~ ml_monitoring.text_literal(feature.name) %}
        {{ ml_monitoring.feature_value(feature, 'predictions') }} as value_{{ loop.index }},
        {% if feature.type in ml_monitoring.number_types() %}
        (select edges from bins {{ of_feature }}) as edges_{{ loop.index }},
        0 as below_{{ loop.index }},
        {% else %}
        (select len(categories) + 1 from bins {{ of_feature }}) as new_place_{{ loop.index }},
        {% endif %}
        {% endfor %}
        {% for column in carried %}
        predictions.{{ column }},
        {% endfor %}
        {{ ml_monitoring.slices_of('predictions') }} as slices
    from predictions
    where model_name = {{ model_literal }}
),

-- A binary search: how many edges are below the value?
{% set last = namespace(relation='valued_' ~ number) %}
{% set most = namespace(edges=0) %}
{% for feature in features %}
{% set most.edges = [most.edges, ml_monitoring.most_edges(model, feature)] | max %}
{% endfor %}
{% for step in ml_monitoring.search_steps(most.edges) %}
searched_{{ number }}_{{ step }} as (
    select
        * replace (
            {% for feature in features if step <= ml_monitoring.most_edges(model, feature) %}
            {% set position = features.index(feature) + 1 %}
            {{ ml_monitoring.search_step(position, step) }} as below_{{ position }}{{ ',' if not loop.last }}
            {% endfor %}
        )
    from {{ last.relation }}
),
{% set last.relation = 'searched_' ~ number ~ '_' ~ step %}
{% endfor %}

binned_{{ number }} as (
    select
        {% for feature in features %}
        {% set position = loop.index %}
        {% if feature.type in ml_monitoring.number_types() %}
        case
            when not isnan(found.value_{{ position }}) then found.below_{{ position }}
        end::smallint as bin_{{ position }},
        {% else %}
        case
            when found.value_{{ position }} is not null
                then coalesce(places_{{ position }}.place, found.new_place_{{ position }}, 1)
        end::smallint as bin_{{ position }},
        {% endif %}
        {% endfor %}
        {% for column in carried %}
        found.{{ column }},
        {% endfor %}
        found.slices
    from {{ last.relation }} as found
    {% for feature in features if feature.type not in ml_monitoring.number_types() %}
    {% set position = features.index(feature) + 1 %}
    left join places as places_{{ position }}
        on
            found.value_{{ position }} = places_{{ position }}.category
            and places_{{ position }}.model_name = {{ model_literal }}
            and places_{{ position }}.feature = {{ ml_monitoring.text_literal(feature.name) }}
    {% endfor %}
),
{% endfor %}

binned as (
    {% for model in models %}
    select
        {{ carried | join(',\n        ') }},
        {% for position in range(1, ml_monitoring.most_features() + 1) %}
        {{ 'bin_' ~ position if position <= ml_monitoring.drift_features(model) | length else 'null::smallint' }}
            as bin_{{ position }},
        {% endfor %}
        slices
    from binned_{{ loop.index }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
)
{%- endmacro %}


{# The bins of features as columns, from what was measured of them: the task of the model,
   `distinct_values`, `quantiles` and the `categories` by frequency. #}
{% macro bin_columns() -%}
    {%- set bin_count = ml_monitoring.settings().drift_bins %}
    feature_type in ('categorical', 'boolean')
    or (
        len(distinct_values) <= {{ bin_count }}
        and not (feature_type = 'prediction' and task <> 'regression')
    ) as is_discrete,
    case
        when feature_type in ('categorical', 'boolean') then null
        -- Probabilities have bins of their own, which no version falls out of.
        when feature_type = 'prediction' and task <> 'regression'
            then (select edges from {{ ref('int_score_edges') }} where grid = 'fine')
        -- No baseline, no edges.
        when len(distinct_values) <= {{ bin_count }} then {{ ml_monitoring.discrete_edges('distinct_values') }}
        else {{ ml_monitoring.quantile_edges('distinct_values', 'quantiles') }}
    end as edges,
    case when feature_type in ('categorical', 'boolean') then categories[:{{ bin_count }}] end
        as categories,
    case when feature_type in ('categorical', 'boolean') then categories[{{ bin_count + 1 }}:] end
        as other_categories
{%- endmacro %}
