-- Grain: one event_date, model_name, model_version that was a shadow, live_version, and slice or
-- range of a feature: how often the two decided otherwise, and who was right.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={
        'unit': ['event_date', 'revision'],
        'retention': {
            'kind': 'days', 'key': 'rows.event_date', 'raw_key': '(rows.event_date - 1)'
        },
    },
    pre_hook="{{ forget_stale(ref('int_disagreement_dates'), ['event_date']) }}",
) }}

with

stale_dates as (
    {{ stale_keys(ref('int_disagreement_dates'), ['event_date']) }}
),

labels as (
    {{ matched_labels() }} -- noqa: LT02
        and history.role = 'live'
        and history.event_date in (select event_date from stale_dates)
        and {{ is_stale('history.event_date', ref('int_disagreement_dates'), 'event_date') }}
),

events as (
    select *
    from {{ ref('stg_inference_events') }}
    where
        role = 'live'
        and status < 400
        and event_date in (select event_date from stale_dates)
        and {{ is_stale('event_date', ref('int_disagreement_dates'), 'event_date') }}
),

pairs as (
    select
        pairs.* exclude (revision, slices), -- noqa: RF02
        stale_dates.revision,
        models.task,
        events.numerical_features,
        events.categorical_features,
        pairs.slices,
        labels.request_id is not null as is_labelled,
        case
            when models.task = 'binary_classification' then labels.label_number::integer::varchar
            else labels.label_text
        end as label,
        pairs.live_decision <> pairs.shadow_decision as is_disagreement,
        abs(pairs.shadow_score - pairs.live_score) as distance,
        struct_pack(distance := distance, request_id := pairs.request_id) as apart
    from {{ ref('int_shadow_pairs') }} as pairs
    inner join stale_dates on pairs.event_date = stale_dates.event_date
    inner join {{ ref('int_monitored_models') }} as models on pairs.model_name = models.model_name
    inner join events
        on
            pairs.event_date = events.event_date
            and pairs.model_name = events.model_name
            and pairs.live_version = events.model_version
            and pairs.request_id = events.request_id
    left join labels
        on
            pairs.event_date = labels.event_date
            and pairs.model_name = labels.model_name
            and pairs.live_version = labels.model_version
            and pairs.request_id = labels.request_id
            and labels.replaced_at is null
    where pairs.pairing = 'paired' and pairs.live_status < 400 and pairs.shadow_status < 400
),

cells as (
    select
        * exclude (slices),
        unnest( -- noqa: AL03
            list_transform(
                slices,
                lambda slice: struct_pack(
                    slice_key := slice.slice_key,
                    slice_value := slice.slice_value,
                    feature := null::varchar,
                    range_number := null::integer,
                    category := null::varchar
                )
            ),
            recursive := true
        )
    from pairs
    {% for model in monitored_models() %}
    {% set model_literal = text_literal(model.name) %}
    union all
    select
        * exclude (slices),
        unnest([
            {% for feature in model.features + [{'name': 'score', 'type': 'prediction'}] %}
            {% set of_feature = 'from ' ~ ref('int_feature_cuts') ~ ' where model_name = '
                ~ model_literal ~ ' and feature = ' ~ text_literal(feature.name) %}
            struct_pack(
                slice_key := 'all',
                slice_value := 'all',
                feature := {{ text_literal(feature.name) }},
                {% if feature.type in number_types() %}
                {% set value = 'live_score' if feature.type == 'prediction'
                    else feature_value(feature, 'pairs') %}
                range_number := case
                    when not isnan({{ value }})
                        then len(list_filter(
                            coalesce((select cuts {{ of_feature }}), []),
                            lambda cut: cut < {{ value }}
                        ))
                end::integer,
                category := null::varchar
                {% else %}
                range_number := null::integer,
                category := case
                    when {{ feature_value(feature, 'pairs') }} is null then '(missing)'
                    when
                        list_contains(
                            coalesce((select categories {{ of_feature }}), []),
                            {{ feature_value(feature, 'pairs') }}
                        )
                        then {{ feature_value(feature, 'pairs') }}
                    else '(other)'
                end
                {% endif %}
            ){{ ',' if not loop.last }}
            {% endfor %}
        ], recursive := true)
    from pairs
    where model_name = {{ model_literal }}
    {% endfor %}
)

select
    model_name,
    model_version,
    live_version,
    slice_key,
    slice_value,
    feature,
    range_number,
    category,
    count(*) as pair_count,
    count(is_disagreement) as decided_count,
    count(*) filter (where is_disagreement) as disagreement_count,
    count(*) filter (where is_disagreement and is_labelled) as labeled_disagreement_count,
    count(*) filter (where is_disagreement and is_labelled and shadow_decision = label)
        as shadow_right_count,
    count(*) filter (where is_disagreement and is_labelled and live_decision = label)
        as live_right_count,
    -- Scores of regressions have no scale to sum them on.
    count(distance) filter (where task <> 'regression') as distance_count,
    {{ fixed_sum("case when task <> 'regression' then distance end") }} as distance_sum,
    {{ fixed_sum("case when task <> 'regression' then shadow_score - live_score end") }}
        as difference_sum,
    -- A few to look at, the furthest apart first.
    max(apart, 5) filter (where distance > 0) as furthest,
    event_date,
    revision
from cells
group by all
