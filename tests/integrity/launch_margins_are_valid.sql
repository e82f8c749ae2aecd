-- A criterion with a problem is not judged, and nothing ships while it is there.
select
    model_name,
    criterion,
    slice_key,
    problem
from {{ ref('stg_launch_margins') }}
where problem is not null
