-- Grain: one prediction of the dates that int_feature_days has to count in this run: in which bin
-- each feature of its model is, by the position of the feature.
{% set cells = as_left_by_last_build('int_prediction_cells') %}
{% set dates_to_count = 'select event_date from ' ~ cells if cells %}

with

bins as ( -- noqa: ST03
    select bins.*
    from {{ ref('int_baseline_bins') }} as bins
    inner join {{ ref('int_monitored_models') }} as models
        on
            bins.model_name = models.model_name
            and bins.baseline_version = models.baseline_version
),

-- A category has the number of its place in the baseline; after those come the number of the
-- other categories of the baseline, and that of categories that it did not have.
places as ( -- noqa: ST03
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

predictions as (
    select *
    from {{ ref('stg_inference_events') }}
    where
        status < 400
        and {{ is_one_of('event_date', dates_to_count) }}
),

{% for model in monitored_models() %}
{% set number = loop.index %}
{% set model_literal = text_literal(model.name) %}
{% set features = drift_features(model) %}
valued_{{ number }} as (
    select
        {% for feature in features %}
        {% set of_feature = 'where model_name = ' ~ model_literal ~ ' and feature = '
            ~ text_literal(feature.name) %}
        {{ feature_value(feature, 'predictions') }} as value_{{ loop.index }},
        {% if feature.type in ['numerical', 'prediction'] %}
        (select edges from bins {{ of_feature }}) as edges_{{ loop.index }},
        0 as below_{{ loop.index }},
        {% else %}
        (select len(categories) + 1 from bins {{ of_feature }}) as new_place_{{ loop.index }},
        {% endif %}
        {% endfor %}
        predictions.event_date,
        predictions.model_name,
        predictions.model_version,
        predictions.role,
        predictions.request_hash,
        {{ slices_of('predictions') }} as slices
    from predictions
    where model_name = {{ model_literal }}
),

-- A binary search: how many edges are below the value?
{% set last = namespace(relation='valued_' ~ number) %}
{% set most = namespace(edges=0) %}
{% for feature in features %}
{% set most.edges = [most.edges, most_edges(model, feature)] | max %}
{% endfor %}
{% for step in search_steps(most.edges) %}
searched_{{ number }}_{{ step }} as (
    select
        * replace (
            {% for feature in features if step <= most_edges(model, feature) %}
            {% set position = features.index(feature) + 1 %}
            {{ search_step(position, step) }} as below_{{ position }}{{ ',' if not loop.last }}
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
        {% if feature.type in ['numerical', 'prediction'] %}
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
        found.event_date,
        found.model_name,
        found.model_version,
        found.role,
        found.request_hash,
        found.slices
    from {{ last.relation }} as found
    {% for feature in features if feature.type not in ['numerical', 'prediction'] %}
    {% set position = features.index(feature) + 1 %}
    left join places as places_{{ position }}
        on
            found.value_{{ position }} = places_{{ position }}.category
            and places_{{ position }}.model_name = {{ model_literal }}
            and places_{{ position }}.feature = {{ text_literal(feature.name) }}
    {% endfor %}
),
{% endfor %}

binned as (
    {% for model in monitored_models() %}
    select
        event_date,
        model_name,
        model_version,
        role,
        {% for position in range(1, most_features() + 1) %}
        {{ 'bin_' ~ position if position <= drift_features(model) | length else 'null::smallint' }}
            as bin_{{ position }},
        {% endfor %}
        request_hash,
        slices
    from binned_{{ loop.index }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    {% for position in range(1, most_features() + 1) %}
    binned.bin_{{ position }},
    {% endfor %}
    binned.request_hash,
    cells.cell_number
from binned
inner join {{ ref('int_prediction_cells') }} as cells
    using (event_date, model_name, model_version, role, slices)
