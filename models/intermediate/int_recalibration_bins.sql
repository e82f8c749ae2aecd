-- Grain: one model_name, model_version, role, part and score bin with labels as known now: of the
-- part of the last days that maps are fitted on, of the one that they are judged on, and of the
-- version's baseline.
{{ config(materialized='view') }}
{% set days = recalibration_days() %}

with

periods as (
    select
        versions.model_name,
        versions.model_version,
        versions.role,
        unnest([
            struct_pack(
                part := 'fit',
                first_date := clock.as_of::date - {{ days.all }},
                last_date := clock.as_of::date - {{ days.judged }}
            ),
            struct_pack(
                part := 'judged',
                first_date := clock.as_of::date - {{ days.judged }},
                last_date := clock.as_of::date
            ),
            struct_pack(
                part := 'baseline',
                -- Training data is no place to look how well a version was calibrated in service.
                first_date := coalesce(baselines.baseline_start, versions.first_date),
                last_date := coalesce(
                    baselines.baseline_end,
                    (versions.first_date + to_days({{ settings().version_baseline_days }}))::date
                )
            )
        ], recursive := true)
    from (
        select
            model_name,
            model_version,
            role,
            min(min(event_date)) over (partition by model_name, model_version) as first_date
        from {{ ref('int_labelled_days') }}
        group by model_name, model_version, role
    ) as versions
    cross join {{ ref('int_as_of') }} as clock
    inner join {{ ref('int_monitored_models') }} as models
        on versions.model_name = models.model_name
    left join {{ ref('int_baseline_periods') }} as baselines
        on
            versions.model_name = baselines.model_name
            and versions.model_version = baselines.model_version
            and models.baseline_version = baselines.baseline_version
            and baselines.kind = 'score'
),

bins as (
    select
        periods.model_name,
        periods.model_version,
        periods.role,
        periods.part,
        days.score_bin,
        sum(days.labeled_count - days.positive_count)::bigint as negatives,
        sum(days.positive_count)::bigint as positives,
        sum(days.score_sum)::bigint as score_sum,
        sum(days.variance_sum)::bigint as variance_sum
    from periods
    inner join {{ ref('int_labelled_days') }} as days
        on
            periods.model_name = days.model_name
            and periods.model_version = days.model_version
            -- A version has its baseline in whatever role it began.
            and (periods.role = days.role or periods.part = 'baseline')
            and periods.first_date <= days.event_date
            and periods.last_date > days.event_date
    where
        days.slice_key = 'all'
        and days.score_bin is not null
        and days.replaced_on is null
    group by all
)

-- A version that served nothing of late needs no plan.
select bins.*
from bins
where
    (bins.model_name, bins.model_version, bins.role) in (
        select (recent.model_name, recent.model_version, recent.role)
        from bins as recent
        where recent.part <> 'baseline'
    )
