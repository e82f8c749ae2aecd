-- Grain: one date on which a version was the old or the new one of a release, with these versions
-- and the fingerprint of them and of the date's events and labels.
with

sides as (
    select
        model_name,
        previous_version as model_version,
        previous_start as first_date,
        previous_end as end_date
    from {{ ref('int_releases') }}
    union all
    select
        model_name,
        model_version,
        window_start as first_date,
        window_end as end_date
    from {{ ref('int_releases') }}
),

dates as (
    select distinct
        model_name,
        model_version,
        unnest(generate_series(
            first_date::timestamp, end_date - interval '1 day', interval '1 day'
        ))::date as event_date
    from sides
),

versions as (
    select
        event_date,
        list(
            struct_pack(model_name := model_name, model_version := model_version)
            order by model_name, model_version
        ) as versions,
        {{ fingerprint(hash64(['model_name', 'model_version'])) }} as versions_revision
    from dates
    group by event_date
)

select
    versions.event_date,
    versions.versions,
    {{ hash64(['versions.versions_revision', 'labels.revision']) }} as revision
from versions
inner join {{ ref('int_label_dates') }} as labels on versions.event_date = labels.event_date
