-- An SLO of severity page is broken: the build fails. Read slo_report for what to do.
{{ config(severity='error') }}

select * from {{ ref('slo_report') }} where severity = 'page'
