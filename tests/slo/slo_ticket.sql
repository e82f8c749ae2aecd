-- An SLO of severity ticket is broken: the build warns.
{{ config(severity='warn') }}

select * from {{ ref('slo_report') }} where severity = 'ticket'
