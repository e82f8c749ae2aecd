-- Grain: the label of one request, a day later.
select
    request_id,
    ((score > 0.5) <> (substr(request_id, 2)::bigint % 7 = 0))::integer as label,
    ts + interval 1 day as labeled_at
from {{ ref('predictions') }}
where status = 200
