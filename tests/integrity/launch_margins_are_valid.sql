-- A criterion with a problem is not judged, and nothing ships while it is there. The others are
-- still judged: with launch_decision among what this test reads, nothing is downstream of it.
-- depends_on: {{ ref('launch_decision') }}
select
    model_name,
    criterion,
    slice_key,
    problem
from {{ ref('stg_launch_margins') }}
where problem is not null
