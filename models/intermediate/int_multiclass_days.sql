-- Grain: one event_date, model_name, model_version, role, slice, known_on, replaced_on, label and
-- predicted class: the labelled predictions of a multiclass model, with known_on and replaced_on
-- as in int_labelled_days.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={
        'retention': {'kind': 'days', 'key': 'rows.event_date', 'raw_key': 'rows.event_date'},
    },
    pre_hook="{{ forget_stale(ref('int_label_dates'), ['event_date']) }}",
) }}

with

{{ labelled_predictions('multiclass_classification') }},

sliced as (
    select
        labelled.*,
        unnest({{ slices_of('labelled', intersections=true) }}, recursive := true)
    from labelled
)

select
    model_name,
    model_version,
    role,
    slice_key,
    slice_value,
    known_on,
    replaced_on,
    coalesce(label_text, {{ class_name('label_number') }}) as label_class,
    prediction as predicted_class,
    count(*) as labeled_count,
    event_date,
    revision
from sliced
group by all
