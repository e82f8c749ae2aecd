-- Grain: one row, the moments of the last streaming run; none before the first one. Made last: what
-- it says is there.
{{ config(materialized='table', tags=['streaming']) }}
-- depends_on: {{ ref('int_streamed_minutes') }}

{% set before = as_left_by_last_build('int_streamed_as_of') if not flags.FULL_REFRESH %}
{% if is_streaming_run() or not before %}
select
    {{ as_of_plus(0) }} as as_of,
    -- From here on its minutes take the place of the main build's.
    {{ streaming_start() }} as covered_from
where {{ is_streaming_run() }}
{% else %}
select * from {{ before }}
{% endif %}
