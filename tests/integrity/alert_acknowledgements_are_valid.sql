-- One with a problem has no effect, which must not pass unnoticed.
-- depends_on: {{ ref('slo_report') }}
{{ config(severity='warn') }}

select *
from {{ ref('stg_alert_acknowledgements') }}
where problem is not null
