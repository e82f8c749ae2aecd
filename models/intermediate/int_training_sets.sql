-- Grain: one feature and slice of a training set that is the baseline of a model and
-- baseline_version: its bins, and how many rows fell into each; with an event_date, those of a day.
-- Read once, and kept also in a full refresh: a set that changes or goes afterwards moves nothing.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=false,
) }}
-- depends_on: {{ ref('int_score_edges') }}
-- depends_on: {{ ref('int_as_of') }}
{% set held = this if is_incremental() %}
{% set sets = training_sets_to_read(held) %}

{% if not sets %}
select
    null::varchar as model_name,
    null::varchar as baseline_version,
    null::varchar as scored_version,
    null::varchar as feature,
    null::varchar as feature_type,
    null::boolean as is_output,
    null::varchar as slice_key,
    null::varchar as slice_value,
    null::date as event_date,
    null::bigint as prediction_count,
    null::bigint as null_count,
    map([]::integer [], []::bigint []) as bin_counts,
    null::double as value_min,
    null::double as value_max,
    null::bigint as infinite_count,
    null::boolean as is_discrete,
    null::double [] as edges,
    null::varchar [] as categories,
    null::varchar [] as other_categories,
    null::timestamp as read_at
where false
{% else %}
with

predictions as (
    {% for training in sets %}
    {{ training_predictions(training) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

described as (
    {% for training in sets %}
    {% for feature in drift_features(training.model) %}
    select
        {{ text_literal(training.model.name) }} as model_name,
        '{{ training.version }}' as baseline_version,
        {% if training.model.baseline.get('model_version') %}
        {{ text_literal(training.model.baseline.model_version) }} as scored_version,
        {% else %}
        null::varchar as scored_version,
        {% endif %}
        '{{ training.model.task }}' as task,
        {{ loop.index }} as position,
        {{ text_literal(feature.name) }} as feature,
        '{{ feature.type }}' as feature_type
    {{ 'union all' if not loop.last }}
    {% endfor %}
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

measured as (
    {% for training in sets %}
    select
        unnest([
            {% for feature in drift_features(training.model) %}
            {{ bin_measures(training.model, feature) }}{{ ',' if not loop.last }}
            {% endfor %}
        ], recursive := true)
    from predictions
    where
        model_name = {{ text_literal(training.model.name) }}
        and row_number % {{ training.sampling }} = 0
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

ordered as (
    select
        described.*,
        measured.quantiles,
        coalesce(measured.distinct_values, []) as distinct_values,
        {{ by_frequency('measured.category_counts') }} as categories
    from described
    inner join measured
        on described.model_name = measured.model_name and described.feature = measured.feature
),

new_bins as (
    select
        model_name,
        baseline_version,
        scored_version,
        {{ is_output('feature', 'task') }} as is_output,
        position,
        feature,
        feature_type,
        {{ bin_columns() }}
    from ordered
),

bins as (
    {% if held %}
    select
        new_bins.* replace (
            {% for column in ['is_discrete', 'edges', 'categories', 'other_categories'] %}
            case when held.feature is null then new_bins.{{ column }} else held.{{ column }} end
                as {{ column }}{{ ',' if not loop.last }}
            {% endfor %}
        )
    from new_bins
    left join {{ held }} as held
        on
            new_bins.model_name = held.model_name
            and new_bins.baseline_version = held.baseline_version
            and new_bins.feature = held.feature
            and new_bins.feature_type = held.feature_type
            and held.slice_key = 'all'
            and held.event_date is null
    {% else %}
    select * from new_bins
    {% endif %}
),

{{ binned_ctes(sets | map(attribute='model') | list, ['model_name', 'event_date']) }},

counted as (
    {% for position in range(1, most_features() + 1) %}
    select
        model_name,
        event_date,
        slices,
        {{ position }} as position,
        bin_{{ position }} as bin,
        count(*) as bin_count
    from binned
    group by all
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

sliced as (
    select
        * exclude (slices),
        unnest(slices, recursive := true) -- noqa: AL03
    from counted
),

-- The set as a whole, and where it has days each of them.
summed as (
    select
        model_name,
        null::date as event_date,
        slice_key,
        slice_value,
        position,
        bin,
        sum(bin_count)::bigint as bin_count
    from sliced
    group by all
    union all
    select
        model_name,
        event_date,
        slice_key,
        slice_value,
        position,
        bin,
        sum(bin_count)::bigint as bin_count
    from sliced
    where event_date is not null
    group by all
),

histograms as (
    select
        model_name,
        event_date,
        slice_key,
        slice_value,
        position,
        sum(bin_count)::bigint as prediction_count,
        coalesce(sum(bin_count) filter (where bin is null), 0)::bigint as null_count,
        {{ filled_bins('bin', 'bin_count') }} as bin_counts
    from summed
    group by all
),

daily_extremes as (
    {% for training in sets %}
    select
        model_name,
        event_date,
        'all' as slice_key,
        unnest([
            {% for feature in drift_features(training.model)
                  if feature.type in number_types() %}
            {{ feature_extremes(feature) }}{{ ',' if not loop.last }}
            {% endfor %}
        ], recursive := true)
    from predictions
    where model_name = {{ text_literal(training.model.name) }}
    group by model_name, event_date
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

extremes as (
    select
        model_name,
        null::date as event_date,
        slice_key,
        feature,
        min(value_min) as value_min,
        max(value_max) as value_max,
        sum(infinite_count)::bigint as infinite_count
    from daily_extremes
    group by all
    union all by name
    select *
    from daily_extremes
    where event_date is not null
),

-- Slices by attributes that a set has no column for.
absent as (
    select
        null::varchar as model_name,
        null::varchar as slice_key
    where false
    {% for training in sets %}
    {% for slice in training.model.slices if slice.name | lower not in training.columns %}
    union all
    select
        {{ text_literal(training.model.name) }},
        {{ text_literal(slice.name) }}
    {% endfor %}
    {% endfor %}
)

select
    bins.model_name,
    bins.baseline_version,
    bins.scored_version,
    bins.feature,
    bins.feature_type,
    bins.is_output,
    histograms.slice_key,
    case when absent.slice_key is null then histograms.slice_value end as slice_value,
    histograms.event_date,
    histograms.prediction_count,
    histograms.null_count,
    histograms.bin_counts,
    extremes.value_min,
    extremes.value_max,
    extremes.infinite_count,
    bins.is_discrete,
    {% for column in ['edges', 'categories', 'other_categories'] %}
    case when histograms.slice_key = 'all' and histograms.event_date is null then bins.{{ column }} end
        as {{ column }},
    {% endfor %}
    clock.as_of as read_at
from histograms
cross join {{ ref('int_as_of') }} as clock
inner join bins
    on histograms.model_name = bins.model_name and histograms.position = bins.position
left join extremes
    on
        histograms.model_name = extremes.model_name
        and histograms.slice_key = extremes.slice_key
        and histograms.event_date is not distinct from extremes.event_date
        and bins.feature = extremes.feature
left join absent
    on histograms.model_name = absent.model_name and histograms.slice_key = absent.slice_key
{{ where_not_held(held, {
    'model_name': 'bins.model_name',
    'baseline_version': 'bins.baseline_version',
    'feature': 'bins.feature',
    'feature_type': 'bins.feature_type',
    'slice_key': 'histograms.slice_key',
}) }}
{% endif %}
