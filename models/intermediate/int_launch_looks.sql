-- Grain: one model_name, model_version that was a shadow and window_end of a closed window from its
-- first day on, once the labels of that window count as known; and the fingerprint of all its days
-- and of the margins.
{{ config(meta={'settings': ['min_samples', 'calibration_bins', 'launch_alpha']}) }}

with

margins as (
    select
        model_name,
        {{ fingerprint(hash64(['criterion', 'slice_key', 'margin', 'problem'])) }} as revision
    from {{ ref('stg_launch_margins') }}
    group by model_name
),

looks as (
    select
        spans.model_name,
        spans.model_version,
        spans.started_at::date as first_date,
        (dates.event_date + 1)::date as window_end
    from {{ ref('int_shadow_spans') }} as spans
    inner join {{ ref('int_shadow_dates') }} as dates
        on
            dates.event_date >= spans.started_at::date
            and dates.event_date < spans.ended_at
)

select
    looks.model_name,
    looks.model_version,
    looks.first_date,
    looks.window_end,
    {{ revision_of(hash64([
        'margins.revision', fingerprint(hash64(['dates.event_date', 'dates.revision'])),
    ])) }} as revision
from looks
cross join {{ ref('int_as_of') }} as clock
inner join {{ ref('int_monitored_models') }} as models
    on looks.model_name = models.model_name and models.task = 'binary_classification'
inner join margins on looks.model_name = margins.model_name
inner join {{ ref('int_shadow_dates') }} as dates
    on dates.event_date >= looks.first_date and dates.event_date < looks.window_end
where
    looks.window_end + to_microseconds((models.label_grace_hours * 3.6e9)::bigint) <= clock.as_of
    and {{ is_kept('looks.window_end', 'windows') }}
    and {{ is_kept('(looks.first_date - 1)') }}
group by
    looks.model_name, looks.model_version, looks.first_date, looks.window_end, margins.revision
