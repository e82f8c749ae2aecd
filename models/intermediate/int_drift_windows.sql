-- Grain: one window_size and window_end of closed windows that drift is computed for, and the
-- fingerprint of the days in the window, of those in the window before it, and of the baselines.
{{ config(meta={'settings': ['psi_floor', 'psi_moderate', 'psi_significant', 'min_samples']}) }}

with

days as (
    select distinct
        event_date,
        model_name,
        model_version,
        revision
    from {{ ref('int_feature_days') }}
    where slice_key = 'all' and feature = 'score'
),

-- The revision of a frozen day stays what it was.
baselines as (
    select
        baseline_days.model_name,
        baseline_days.baseline_of,
        {{ fingerprint(hash64([
            'baseline_days.feature', 'baseline_days.slice_key', 'baseline_days.event_date',
            'baseline_days.revision',
        ])) }} as revision
    from {{ ref('int_baseline_days') }} as baseline_days
    inner join {{ ref('int_monitored_models') }} as models
        on
            baseline_days.model_name = models.model_name
            and baseline_days.baseline_version = models.baseline_version
    group by all
),

-- Only the baselines of versions that are in a window matter to it.
day_revisions as (
    select
        days.event_date,
        {{ fingerprint(hash64(['days.revision', 'baselines.baseline_of', 'baselines.revision'])) }}
            as revision
    from days
    left join baselines
        on
            days.model_name = baselines.model_name
            and baselines.baseline_of in ('all', days.model_version)
    group by days.event_date
),

sizes as (
    select unnest(drift_windows_days) as days from {{ ref('int_settings') }}
),

ends as (
    select distinct
        sizes.days,
        (dates.event_date + to_days(unnest(generate_series(1, sizes.days))::integer))::date
            as window_end
    from day_revisions as dates
    cross join sizes
)

select
    ends.days,
    ends.days || 'd' as window_size,
    ends.window_end,
    {{ revision_of(fingerprint(hash64(['dates.event_date', 'dates.revision']))) }} as revision
from ends
cross join {{ ref('int_as_of') }} as clock
inner join day_revisions as dates
    on
        dates.event_date < ends.window_end
        and dates.event_date >= ends.window_end - to_days(2 * ends.days::integer)
where
    ends.window_end <= clock.as_of
    and {{ is_kept('ends.window_end', 'windows') }}
    and {{ is_kept('(ends.window_end - 2 * ends.days::integer)') }}
group by all
