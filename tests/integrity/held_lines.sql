-- Lines dated further ahead than a clock may be: they wait until their time has come. A service
-- whose clock is wrong is missing from the tables until then.
{{ config(severity='warn') }}

select
    'inference_events' as input,
    lines.file_path,
    count(*) as held_count
from {{ ref('stg_inference_lines') }} as lines
cross join {{ ref('int_as_of') }} as clock
where
    lines.reject_reason is null
    and lines.ts > clock.held_after
group by lines.file_path
union all
select
    'labels' as input,
    lines.file_path,
    count(*) as held_count
from {{ ref('stg_label_lines') }} as lines
cross join {{ ref('int_as_of') }} as clock
where
    lines.reject_reason is null
    and lines.labeled_at > clock.held_after
group by lines.file_path
