-- Grain: one event_date, model_name, model_version, role and slice with predictions, and the cells
-- of int_prediction_cells that it is made of.
with

sliced as (
    select
        * exclude (slices),
        unnest(slices, recursive := true) -- noqa: AL03
    from {{ ref('int_prediction_cells') }}
),

grouped as (
    select
        event_date,
        revision,
        model_name,
        model_version,
        role,
        slice_key,
        slice_value,
        sum(prediction_count)::bigint as prediction_count,
        list(cell_number) as cell_numbers
    from sliced
    group by all
)

select
    *,
    (row_number() over (
        order by event_date, model_name, model_version, role, slice_key, slice_value
    ))::integer as group_number
from grouped
