-- Grain: one event_date, model_name, model_version that was a shadow, live_version, slice, score
-- bins of both, known_on and replaced_on: the labelled requests that both versions of a classifier
-- have scored, with the midnights from which a label counts as known and as replaced by a newer
-- one.
{{ config(
    materialized=of_event_size('incremental'),
    incremental_strategy='append',
    meta={
        'settings': ['calibration_bins'],
        'retention': {
            'kind': 'days', 'key': 'rows.event_date', 'raw_key': '(rows.event_date - 1)'
        },
    },
    pre_hook="{{ forget_stale(ref('int_shadow_dates'), ['event_date']) }}",
) }}

with

stale_dates as (
    {{ stale_keys(ref('int_shadow_dates'), ['event_date']) }}
),

labels as (
    {{ matched_labels() }} -- noqa: LT02
        and history.role = 'live'
        and history.event_date in (select event_date from stale_dates)
        and {{ is_stale('history.event_date', ref('int_shadow_dates'), 'event_date') }}
),

all_labelled as (
    select
        pairs.* exclude (revision), -- noqa: RF02
        stale_dates.revision,
        labels.label_number::integer as label,
        {{ known_on(
            'labels.labeled_at', 'stale_dates.event_date', 'models.label_grace_hours'
        ) }} as known_on,
        case
            when labels.replaced_at is not null
                then {{ known_on(
                    'labels.replaced_at', 'stale_dates.event_date', 'models.label_grace_hours'
                ) }}
        end as replaced_on
    from {{ ref('int_shadow_pairs') }} as pairs
    inner join stale_dates on pairs.event_date = stale_dates.event_date
    inner join {{ ref('int_monitored_models') }} as models
        on pairs.model_name = models.model_name and models.task = 'binary_classification'
    inner join labels
        on
            pairs.event_date = labels.event_date
            and pairs.model_name = labels.model_name
            and pairs.live_version = labels.model_version
            and pairs.request_id = labels.request_id
    where
        pairs.pairing = 'paired'
        and pairs.live_status < 400
        and pairs.shadow_status < 400
        and pairs.live_score is not null
        and pairs.shadow_score is not null
),

searched as (
    select
        *,
        live_decision = '1' as is_live_selected,
        shadow_decision = '1' as is_shadow_selected,
        (select edges from {{ ref('int_score_edges') }} where grid = 'fine') as edges,
        0 as live_below,
        0 as shadow_below
    from all_labelled
    -- Without versions that were replaced before any window could count them.
    where replaced_on is null or replaced_on > known_on
),

-- A binary search: how many edges are below the scores?
{% for step in search_steps(most_score_edges()) %}
searched_{{ step }} as (
    select
        * replace (
            live_below + case
                when edges[live_below + {{ step }}] < live_score then {{ step }} else 0
            end as live_below,
            shadow_below + case
                when edges[shadow_below + {{ step }}] < shadow_score then {{ step }} else 0
            end as shadow_below
        )
    from {{ 'searched' if loop.first else 'searched_' ~ 2 * step }}
),
{% endfor %}

-- Of whole models the bins are divided further: the difference of two AUCs is small.
divided as (
    select
        *,
        {{ part_of_bin('live_score', 'edges', 'live_below') }} as live_part,
        {{ part_of_bin('shadow_score', 'edges', 'shadow_below') }} as shadow_part
    from searched_1
),

sliced as (
    select
        * exclude (slices, edges),
        unnest(slices, recursive := true) -- noqa: AL03
    from divided
)

select
    model_name,
    model_version,
    live_version,
    slice_key,
    slice_value,
    known_on,
    replaced_on,
    {% for name in ['live', 'shadow'] %}
    {{ name }}_below * {{ divided_bins() }}
    + case when slice_key = 'all' then {{ name }}_part else 0 end as {{ name }}_bin,
    {% endfor %}
    count(*) as labeled_count,
    count(*) filter (where label = 1) as positive_count,
    {% for label, name in [(1, 'positive'), (0, 'negative')] %}
    -- Which of the two said yes?
    count(*) filter (where label = {{ label }} and is_live_selected and is_shadow_selected)
        as {{ name }}_both_count,
    count(*) filter (where label = {{ label }} and is_live_selected and not is_shadow_selected)
        as {{ name }}_live_only_count,
    count(*) filter (where label = {{ label }} and not is_live_selected and is_shadow_selected)
        as {{ name }}_shadow_only_count,
    {% endfor %}
    {% for name in ['live', 'shadow'] %}
    {{ fixed_sum(name ~ '_score') }} as {{ name }}_score_sum,
    {{ fixed_sum(name ~ '_score * (1 - ' ~ name ~ '_score)') }} as {{ name }}_variance_sum,
    min({{ name }}_score) as {{ name }}_score_min,
    max({{ name }}_score) as {{ name }}_score_max,
    {% endfor %}
    event_date,
    revision
from sliced
group by all
