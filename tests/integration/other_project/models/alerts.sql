-- Grain: one alert, under the name that the package has too.
select
    alert_id,
    alert_name
from {{ ref('ml_monitoring', 'alerts') }}
