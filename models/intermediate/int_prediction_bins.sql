-- Grain: one prediction of the dates that int_feature_days has to count in this run: in which bin
-- each feature of its model is, by the position of the feature.
{{ config(materialized=of_event_size('table')) }}
{% set cells = as_left_by_last_build('int_prediction_cells') %}
{% set dates_to_count = 'select event_date from ' ~ cells if cells %}

with

bins as ( -- noqa: ST03
    select bins.*
    from {{ ref('int_baseline_bins') }} as bins
    inner join {{ ref('int_monitored_models') }} as models
        on
            bins.model_name = models.model_name
            and bins.baseline_version = models.baseline_version
),

predictions as (
    select *
    from {{ ref('stg_inference_events') }}
    where
        status < 400
        and {{ is_one_of('event_date', dates_to_count) }}
),

{{ binned_ctes(
    monitored_models(), ['event_date', 'model_name', 'model_version', 'role', 'request_hash']
) }}

select
    {% for position in range(1, most_features() + 1) %}
    binned.bin_{{ position }},
    {% endfor %}
    binned.request_hash,
    cells.cell_number,
    binned.event_date
from binned
inner join {{ ref('int_prediction_cells') }} as cells
    using (event_date, model_name, model_version, role, slices)
