-- Grain: one model_name, model_version, role and closed minute of the streaming lookback that had
-- requests or in which the version is expected to serve, with the fingerprint of all that its
-- minute holds.
{{ config(materialized='table', tags=['streaming']) }}

{% set before = as_left_by_last_build('int_streamed_minutes') if not flags.FULL_REFRESH %}
{% set as_of = as_of_plus(0) %}
{% set deployments = built_or_empty(ref('stg_deployments'), {
    'model_name': 'varchar', 'model_version': 'varchar', 'role': 'varchar',
    'deployed_to': 'timestamp',
}) %}
{% set key = {'model_name': 'varchar', 'model_version': 'varchar', 'role': 'varchar',
              'window_start': 'timestamp'} %}

with

events as (
    {{ streamed_events() }}
),

streamed as (
    select
        model_name,
        model_version,
        role,
        event_minute as window_start,
        {{ fingerprint('row_hash') }} as content
    from events
    group by all
),

-- Since when a version serves, the main build may know, or earlier streaming runs.
active_minutes as (
    select {{ key | join(', ') }} from streamed
    union all
    select {{ key | join(', ') }} from {{ built_or_empty(ref('int_service_minutes'), key) }}
    {% if before %}
    union all
    select {{ key | join(', ') }}
    from {{ before }}
    where request_count > 0 and window_start < {{ streaming_start() }}
    {% endif %}
),

observed as ( -- noqa: ST03
    select
        model_name,
        model_version,
        role,
        min(window_start) as first_minute,
        max(window_start) as last_minute
    from active_minutes
    group by all
),

spans as (
    {{ service_spans(deployments, as_of) }}
),

expected as (
    select
        model_name,
        model_version,
        role,
        unnest(generate_series(
            greatest(span_start, {{ streaming_start() }}),
            span_end - interval '1 minute',
            interval '1 minute'
        )) as window_start
    from spans
),

closed as (
    select
        coalesce(streamed.model_name, expected.model_name) as model_name,
        coalesce(streamed.model_version, expected.model_version) as model_version,
        coalesce(streamed.role, expected.role) as role,
        coalesce(streamed.window_start, expected.window_start) as window_start,
        streamed.content
    from streamed
    full outer join expected
        on
            streamed.model_name = expected.model_name
            and streamed.model_version = expected.model_version
            and streamed.role = expected.role
            and streamed.window_start = expected.window_start
    where
        coalesce(streamed.window_start, expected.window_start) + interval '1 minute' <= {{ as_of }}
        and {{ is_streaming_run() }}
),

revisions as (
    select
        window_start,
        {{ fingerprint(hash64(['model_name', 'model_version', 'role', 'content'])) }} as revision
    from closed
    group by window_start
)

select
    closed.model_name,
    closed.model_version,
    closed.role,
    closed.window_start,
    revisions.revision
from closed
inner join revisions on closed.window_start = revisions.window_start
