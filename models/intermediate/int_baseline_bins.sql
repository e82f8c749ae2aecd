-- Grain: one feature of a model and baseline_version: the edges of its bins, or its categories;
-- none while the baseline has no predictions.
-- Frozen with the baseline, also in a full refresh. Those of a training set come from it.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=false,
    pre_hook="{% if is_incremental() %} delete from {{ this }} where not is_frozen {% endif %}",
) }}

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

training_sets as (
    {{ known_training_sets() }}
),

-- The days that bins are made from: those of the model, but beside a training set without the
-- outputs, for these, the first days of the first version.
dated_periods as (
    select periods.*
    from {{ ref('int_baseline_periods') }} as periods
    left join training_sets
        on
            periods.model_name = training_sets.model_name
            and periods.baseline_version = training_sets.baseline_version
    where
        case
            when training_sets.model_name is null then periods.kind = 'features'
            else
                not training_sets.has_outputs
                and periods.kind = 'score'
                and {{ is_kept('periods.baseline_start') }}
        end
    qualify
        row_number() over (
            partition by periods.model_name, periods.baseline_version
            order by periods.baseline_start, periods.model_version
        ) = 1
),

missing as (
    select
        wanted.*,
        periods.baseline_version,
        periods.baseline_start,
        periods.baseline_end,
        periods.model_version,
        periods.role,
        periods.frozen_at is not null as is_frozen,
        -- The edges of a large baseline come from a sample of one to two million.
        greatest(1, periods.prediction_count // 1000000)::ubigint as sampling
    from wanted
    inner join {{ ref('int_monitored_models') }} as models
        on wanted.model_name = models.model_name
    inner join dated_periods as periods
        on
            models.model_name = periods.model_name
            and models.baseline_version = periods.baseline_version
            and (periods.kind = 'features' or {{ is_output('wanted.feature', 'models.task') }})
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
        model_version,
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
            and periods.model_version in ('all', events.model_version)
            and periods.role in ('all', events.role)
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
),

of_training_sets as (
    select
        bins.model_name,
        bins.baseline_version,
        bins.feature,
        bins.feature_type,
        bins.is_discrete,
        bins.edges,
        bins.categories,
        bins.other_categories,
        true as is_frozen
    from {{ ref('int_training_sets') }} as bins
    inner join wanted
        on
            bins.model_name = wanted.model_name
            and bins.feature = wanted.feature
            and bins.feature_type = wanted.feature_type
    inner join {{ ref('int_monitored_models') }} as models
        on
            bins.model_name = models.model_name
            and bins.baseline_version = models.baseline_version
    inner join training_sets
        on
            bins.model_name = training_sets.model_name
            and bins.baseline_version = training_sets.baseline_version
    where
        bins.slice_key = 'all'
        and bins.event_date is null
        and (training_sets.has_outputs or not bins.is_output)
)

select
    model_name,
    baseline_version,
    feature,
    feature_type,
    {{ bin_columns() }},
    is_frozen
from ordered
union all by name
select *
from of_training_sets as wanted -- noqa: AL05
{{ where_not_held(this if is_incremental() else none, {
    'model_name': 'wanted.model_name',
    'baseline_version': 'wanted.baseline_version',
    'feature': 'wanted.feature',
    'feature_type': 'wanted.feature_type',
}) }}
