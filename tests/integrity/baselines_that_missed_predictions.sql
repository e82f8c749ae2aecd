-- Predictions of the dates of a frozen baseline that came after it was frozen do not move it. Many
-- of them make it worth a new definition.
{{ config(severity='warn') }}

select
    model_name,
    model_version,
    definition,
    prediction_count,
    late_count
from {{ ref('baselines') }}
where is_in_force and frozen_at is not null and late_count <> 0
