-- Grain: one window_end of the windows that a classifier tells from the baseline: those of the
-- longest size of drift_windows_days that follow each other, from a Monday on.
{% set days = settings().drift_windows_days | max %}
select
    days,
    window_size,
    window_end,
    {{ revision_of('revision') }} as revision
from {{ ref('int_drift_windows') }}
where
    {{ settings().multivariate_drift }}
    and days = {{ days }}
    and date_diff('day', date '1970-01-05', window_end) % {{ days }} = 0
