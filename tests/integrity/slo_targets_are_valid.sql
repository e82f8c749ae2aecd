-- A target with a problem judges nothing, which must not pass unnoticed. The other targets are
-- still judged: with slo_report among what this test reads, nothing is downstream of it.
-- depends_on: {{ ref('slo_report') }}
select
    slo_name,
    problem
from {{ ref('stg_slo_targets') }}
where problem is not null
