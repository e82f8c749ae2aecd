-- A deployment that cannot be read leaves it open until when a version should be serving. With
-- slo_report among what this test reads, nothing is downstream of it and skipped.
-- depends_on: {{ ref('slo_report') }}
select
    model_name,
    model_version,
    role,
    problem
from {{ ref('stg_deployments') }}
where problem is not null
