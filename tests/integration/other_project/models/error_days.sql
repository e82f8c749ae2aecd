-- Grain: one day, from a table of the package.
select
    window_start::date as error_date,
    error_count
from {{ ref('ml_monitoring', 'service_levels') }}
where slice_key = 'all' and window_size = '1d'
