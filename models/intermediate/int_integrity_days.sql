-- Grain: one event_date, model_name, model_version, role and feature with values, of a sample of
-- the predictions, those with the smallest hashes of request_ids: how its values lie, and which
-- other feature has the same.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={'retention': {'kind': 'days', 'key': 'rows.event_date', 'raw_key': 'rows.event_date'}},
    pre_hook="{{ forget_stale(ref('int_event_dates'), ['event_date']) }}",
) }}
{% set version = ['event_date', 'model_name', 'model_version', 'role', 'revision'] %}
{% set with_features = monitored_models() | selectattr('features') | list %}
{% set names = with_features | map(attribute='name') | list %}

with

stale_dates as (
    {{ stale_keys(ref('int_event_dates'), ['event_date']) }}
),

sampled as ( -- noqa: ST03
    select
        events.*,
        stale_dates.revision
    from {{ ref('stg_inference_events') }} as events
    inner join stale_dates on events.event_date = stale_dates.event_date
    where
        events.status < 400
        and {{ is_stale('events.event_date', ref('int_event_dates'), 'event_date') }}
        and events.model_name in ({{ text_literals(names or ['']) }})
    qualify row_number() over (
        partition by events.event_date, events.model_name, events.model_version, events.role
        order by events.request_hash, events.request_id
    ) <= {{ daily_sample_size() }}
),

-- A row for each value. Those of numbers and of categories are never equal.
features as (
    {% for model in with_features %}
    select
        {{ version | join(', ') }},
        request_id,
        unnest([
            {% for feature in model.features %}
            {% set value = feature_value(feature, 'sampled') %}
            struct_pack(
                feature := {{ text_literal(feature.name) }},
                number := {{ value if feature.type in number_types() else 'null' }}::double,
                content := {{ "'" ~ feature.type[0] ~ "'" }} || {{ value }}::varchar
            ){{ ',' if not loop.last }}
            {% endfor %}
        ], recursive := true)
    from sampled
    where model_name = {{ text_literal(model.name) }}
    {{ 'union all' if not loop.last }}
    {% else %}
    select
        {{ version | join(', ') }},
        request_id,
        null::varchar as feature,
        null::double as number,
        null::varchar as content
    from sampled
    {% endfor %}
),

described as (
    select
        {{ version | join(', ') }},
        feature,
        count(*) as value_count,
        quantile_cont(number, {{ unit_quantiles() }}) filter (where isfinite(number)) as quantiles
    from features
    where content is not null
    group by all
),

pairs as (
    select
        {% for column in version %}
        one.{{ column }},
        {% endfor %}
        one.feature,
        other.feature as other_feature,
        count(*) as equal_count
    from features as one
    inner join features as other
        using (event_date, model_name, model_version, role, request_id, content)
    where one.feature <> other.feature
    group by all
    -- Two features that are 0 all day are not the same for it.
    having min(content) <> max(content)
),

closest as (
    select
        pairs.*,
        pairs.equal_count / greatest(one.value_count, other.value_count) as equal_share
    from pairs
    inner join described as one using (event_date, model_name, model_version, role, feature)
    inner join described as other
        on
            pairs.event_date = other.event_date
            and pairs.model_name = other.model_name
            and pairs.model_version = other.model_version
            and pairs.role = other.role
            and pairs.other_feature = other.feature
    qualify row_number() over (
        partition by
            pairs.event_date, pairs.model_name, pairs.model_version, pairs.role, pairs.feature
        order by equal_share desc, pairs.other_feature asc
    ) = 1
)

select
    described.model_name,
    described.model_version,
    described.role,
    described.event_date,
    described.feature,
    described.value_count,
    described.quantiles,
    closest.other_feature,
    closest.equal_share,
    described.revision
from described
left join closest using (event_date, model_name, model_version, role, feature)
