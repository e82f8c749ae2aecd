-- Grain: one request whose labels may have to be matched anew (an event or a label of it stood or
-- stands in a file that this run reads, or that is gone), with an event_date and label file that
-- its labels were matched with before; null where there were none.
-- int_ingested_files empties the table when the run has done its work: what a run that was killed
-- leaves here counts for the next one too.
-- depends_on: {{ ref('int_as_of') }}
-- depends_on: {{ ref('stg_landing_files') }}
{% set history = as_left_by_last_build('int_label_history') if not flags.FULL_REFRESH %}
{% set unsettled = as_left_by_last_build('int_affected_requests') if not flags.FULL_REFRESH %}

with

requests as (
    select request_hash
    from {{ ref('stg_inference_lines') }}
    where line_number > 0 {{ 'and load_number = ' ~ load_number() if history }}
    union
    select request_hash
    from {{ ref('stg_label_lines') }}
    where line_number > 0 {{ 'and load_number = ' ~ load_number() if history }}
    {% if history %}
    {% for input, file_path in [('labels', 'label_file_path'),
                                ('inference_events', 'event_file_path')] %}
    union
    select history.request_hash
    from {{ history }} as history
    inner join {{ ref('stg_landing_files') }} as files
        on
            history.{{ file_path }} = files.file_path
            and files.input = '{{ input }}'
            and files.is_known
            and (files.is_changed or files.is_gone)
    {% endfor %}
    union
    -- An event that was from the future when its label was matched, and is no more.
    select history.request_hash
    from {{ history }} as history
    cross join {{ ref('int_as_of') }} as clock
    where history.match_status = 'held' and history.event_ts <= clock.held_after
    {% endif %}
)

{% if history %}
select distinct
    requests.request_hash,
    history.event_date,
    history.label_file_path
from requests
left join {{ history }} as history on requests.request_hash = history.request_hash
{% else %}
select
    request_hash,
    null::date as event_date,
    null::varchar as label_file_path
from requests
{% if is_on_spark() %}
-- There every label is matched anew.
where false
{% endif %}
{% endif %}
{% if unsettled %}
union
select
    request_hash,
    event_date,
    label_file_path
from {{ unsettled }}
{% endif %}
