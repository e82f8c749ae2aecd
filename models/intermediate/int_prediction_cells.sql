-- Grain: one combination of event_date, model_name, model_version, role and slice values that has
-- predictions, of the dates that int_feature_days has to count in this run, with a number.
select
    *,
    -- A small number stands for the cell while predictions are counted.
    (row_number() over (
        order by event_date, model_name, model_version, role, slices
    ))::integer as cell_number
from {{ ref('int_prediction_counts') }}
