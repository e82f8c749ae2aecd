-- A rule with a problem judges nothing, which must not pass unnoticed. The other rules are still
-- judged: with slo_report among what this test reads, nothing is downstream of it.
-- depends_on: {{ ref('slo_report') }}
select
    alert_name,
    condition_number,
    problem
from {{ ref('stg_alert_rules') }}
where problem is not null
