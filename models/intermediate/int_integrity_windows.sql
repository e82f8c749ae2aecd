-- Grain: one closed window of a day that features are checked in, and the fingerprint of the day,
-- of those before it that it is compared with, and of the baselines.
{{ config(meta={'settings': ['min_samples']}) }}

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
        {{ fingerprint(hash64([
            'baseline_days.baseline_version', 'baseline_days.feature', 'baseline_days.slice_key',
            'baseline_days.event_date', 'baseline_days.revision',
        ])) }} as revision
    from {{ ref('int_baseline_days') }} as baseline_days
    inner join {{ ref('int_monitored_models') }} as models
        on
            baseline_days.model_name = models.model_name
            and baseline_days.baseline_version = models.baseline_version
    where baseline_days.baseline_of = 'all'
),

ends as (
    select distinct event_date + 1 as window_end from days
),

windows as (
    select
        ends.window_end,
        {{ fingerprint(hash64([
            'days.event_date', 'days.model_name', 'days.model_version', 'days.revision',
        ])) }} as revision
    from ends
    cross join {{ ref('int_as_of') }} as clock
    -- EARLIER_DAYS of python_udfs/integrity_tables.py, and the window itself.
    inner join days
        on days.event_date < ends.window_end and days.event_date >= ends.window_end - 15
    where
        ends.window_end <= clock.as_of
        and {{ is_kept('ends.window_end', 'windows') }}
        and {{ is_kept('(ends.window_end - 15)') }}
    group by all
)

select
    1 as days,
    '1d' as window_size,
    windows.window_end,
    {{ revision_of(hash64(['windows.revision', 'baselines.revision'])) }} as revision
from windows
cross join baselines
