-- Grain: one prediction of a sample of those of an event_date, model_name, model_version and role:
-- in which bin each feature and the score is. The sample has the smallest hashes of request_ids, so
-- it does not depend on the order in which events came.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={'retention': {'kind': 'days', 'key': 'rows.event_date', 'raw_key': 'rows.event_date'}},
    pre_hook="{{ forget_stale(ref('int_feature_dates'), ['event_date'], is_final=true) }}",
) }}
-- depends_on: {{ ref('int_feature_dates') }}

with

predictions as (
    select
        cells.event_date,
        cells.model_name,
        cells.model_version,
        cells.role,
        bins.request_hash,
        case cells.model_name
            {% for model in monitored_models() %}
            when {{ text_literal(model.name) }} then {{ feature_bin_list(model) }}
            {% endfor %}
        end as feature_bins,
        -- Other features may be monitored once a baseline is frozen.
        case cells.model_name
            {% for model in monitored_models() %}
            when {{ text_literal(model.name) }} then {{ feature_list(model) }}
            {% endfor %}
        end as features,
        case cells.model_name
            {% for model in monitored_models() %}
            when {{ text_literal(model.name) }} then bins.bin_{{ model.features | length + 1 }}
            {% endfor %}
        end as score_bin,
        cells.revision
    from {{ ref('int_prediction_bins') }} as bins
    inner join {{ ref('int_prediction_cells') }} as cells using (cell_number)
    where
        {{ settings().multivariate_drift }}
    {% if is_incremental() %}
    and cells.event_date not in (select event_date from {{ this }})
    {% endif %}
)

select *
from predictions
qualify row_number() over (
    partition by event_date, model_name, model_version, role
    order by request_hash, feature_bins, score_bin
) <= {{ daily_sample_size() }}
