-- Events of a model that is not in the var monitored_models: it has service levels of the whole
-- model and nothing else. Describe it there, or stop logging it.
{{ config(severity='warn') }}

select
    days.model_name,
    sum(days.request_count) as request_count
from {{ ref('int_service_days') }} as days
left join {{ ref('int_monitored_models') }} as models
    on days.model_name = models.model_name
where
    days.slice_key = 'all'
    and models.model_name is null
group by days.model_name
