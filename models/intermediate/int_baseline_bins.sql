-- Grain: one feature of a model and baseline_version: the edges of its bins, or its categories;
-- none while the baseline has no predictions.
-- Frozen with the baseline, also in a full refresh.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=false,
    pre_hook="{% if is_incremental() %} delete from {{ this }} where not is_frozen {% endif %}",
) }}
{% set bin_count = settings().drift_bins %}

with

wanted as (
    {% for model in monitored_models() %}
    {% for feature in drift_features(model) %}
    select
        {{ text_literal(model.name) }} as model_name,
        {{ text_literal(feature.name) }} as feature,
        '{{ feature.type }}' as feature_type
    {{ 'union all' if not loop.last }}
    {% endfor %}
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

missing as (
    select
        wanted.*,
        periods.baseline_version,
        periods.baseline_start,
        periods.baseline_end,
        periods.role,
        periods.frozen_at is not null as is_frozen,
        -- The edges of a large baseline come from a sample of one to two million.
        greatest(1, periods.prediction_count // 1000000)::ubigint as sampling
    from wanted
    inner join {{ ref('int_monitored_models') }} as models
        on wanted.model_name = models.model_name
    inner join {{ ref('int_baseline_periods') }} as periods
        on
            models.model_name = periods.model_name
            and models.baseline_version = periods.baseline_version
            and periods.kind = 'features'
    {{ where_not_held(this if is_incremental() else none, {
        'model_name': 'wanted.model_name',
        'baseline_version': 'periods.baseline_version',
        'feature': 'wanted.feature',
        'feature_type': 'wanted.feature_type',
    }) }}
),

periods as (
    select distinct
        model_name,
        baseline_start,
        baseline_end,
        role,
        sampling
    from missing
),

predictions as (
    select events.*
    from {{ ref('stg_inference_events') }} as events
    inner join periods
        on
            events.model_name = periods.model_name
            and events.role = periods.role
            and events.ts >= periods.baseline_start
            and events.ts < periods.baseline_end
            and events.request_hash % periods.sampling = 0
    where events.status < 400
),

measured as (
    {% for model in monitored_models() %}
    select
        unnest([
            {% for feature in drift_features(model) %}
            {{ bin_measures(model, feature) }}{{ ',' if not loop.last }}
            {% endfor %}
        ], recursive := true)
    from predictions
    where model_name = {{ text_literal(model.name) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

ordered as (
    select
        missing.*,
        models.task,
        measured.quantiles,
        coalesce(measured.distinct_values, []) as distinct_values,
        {{ by_frequency('measured.category_counts') }} as categories
    from missing
    inner join {{ ref('int_monitored_models') }} as models
        on missing.model_name = models.model_name
    inner join measured
        on missing.model_name = measured.model_name and missing.feature = measured.feature
)

select
    model_name,
    baseline_version,
    feature,
    feature_type,
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
        when len(distinct_values) <= {{ bin_count }} then {{ discrete_edges('distinct_values') }}
        else {{ quantile_edges('distinct_values', 'quantiles') }}
    end as edges,
    case when feature_type in ('categorical', 'boolean') then categories[:{{ bin_count }}] end
        as categories,
    case when feature_type in ('categorical', 'boolean') then categories[{{ bin_count + 1 }}:] end
        as other_categories,
    is_frozen
from ordered
