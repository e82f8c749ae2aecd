-- Grain: one landing file that is there now, or was when it was last read.
-- Rebuilt by each run; int_ingested_files closes the run by noting what was read and that the files
-- are settled. A run that was killed before leaves them unsettled: the next one reads them again,
-- and forgets those that have gone meanwhile.
{{ config(materialized='table') }}

{% set inputs = ['inference_events', 'labels'] %}
{% set ledger = as_left_by_last_build('int_ingested_files') if not flags.FULL_REFRESH %}
{% set before = as_left_by_last_build('stg_landing_files', 'restricted')
    if not flags.FULL_REFRESH %}

with

found as (
    {% for input in inputs %}
    {% set relation = input_relation(input) %}
    {% if relation %}
    select
        '{{ input }}' as input,
        file_path,
        count(*) as file_size,
        null::timestamp as modified_at,
        {{ fingerprint(hash64(['line'])) }} as content
    from ({{ relation_as_lines(input, relation) }})
    group by file_path
    {% else %}
    select
        '{{ input }}' as input,
        unnest(landing_files(
            {{ text_literal(landing_path()) }}, '{{ input }}', timestamp '1970-01-01'
        ), recursive := true), -- noqa: AL03
        0::ubigint as content
    {% endif %}
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

revised as (
    select
        input,
        file_path,
        file_size,
        modified_at,
        {{ hash64(['file_size', 'modified_at', 'content', text_literal(input_definition())]) }}
            as file_revision
    from found
),

ledger as (
    {% if ledger %}
    select
        input,
        file_path,
        file_size,
        modified_at,
        file_revision,
        load_number,
        is_closed
    from {{ ledger }}
    {% else %}
    select
        input,
        file_path,
        file_size,
        modified_at,
        file_revision,
        null::bigint as load_number,
        false as is_closed
    from revised
    where false
    {% endif %}
),

-- What a run that was killed had begun to read, or to forget.
unsettled as (
    {% if before %}
    select
        input,
        file_path,
        file_size,
        modified_at,
        load_number
    from {{ before }}
    where not is_settled and (is_changed or is_gone)
    {% else %}
    select * exclude (file_revision, is_closed) from ledger where false
    {% endif %}
),

known as (
    select
        coalesce(ledger.input, unsettled.input) as input,
        coalesce(ledger.file_path, unsettled.file_path) as file_path,
        coalesce(ledger.file_size, unsettled.file_size) as file_size,
        coalesce(ledger.modified_at, unsettled.modified_at) as modified_at,
        case when unsettled.file_path is null then ledger.file_revision end as file_revision,
        ledger.load_number,
        coalesce(ledger.is_closed, false) as is_closed
    from ledger
    full outer join unsettled
        on ledger.input = unsettled.input and ledger.file_path = unsettled.file_path
),

-- The number of this run: later ones are greater, also where a clock was set back.
loads as (
    select
        greatest(
            {{ (run_started_at.timestamp() * 1000000) | int }},
            1 + coalesce((select max(load_number) from ledger), 0),
            1 + coalesce((select max(load_number) from unsettled), 0)
        ) as load_number
),

final as (
    select
        coalesce(revised.input, known.input) as input,
        coalesce(revised.file_path, known.file_path) as file_path,
        coalesce(revised.file_size, known.file_size) as file_size,
        coalesce(revised.modified_at, known.modified_at) as modified_at,
        coalesce(revised.file_revision, known.file_revision) as file_revision,
        coalesce(revised.file_revision <> known.file_revision, known.file_revision is null)
        and revised.file_revision is not null
        -- What is closed may vanish, and is not read again in another configuration.
        and not (
            coalesce(known.is_closed, false)
            and revised.file_size = known.file_size
            and revised.modified_at is not distinct from known.modified_at
        ) as is_changed,
        (revised.file_revision is null and not known.is_closed) as is_gone,
        known.file_path is not null as is_known,
        coalesce(known.is_closed, false) as is_closed,
        -- Lines are stored with the number of the run that read them, so that those of one run are
        -- found without a look at all others.
        case when is_changed or is_gone then loads.load_number else known.load_number end
            as load_number,
        false as is_settled
    from revised
    full outer join known
        on revised.input = known.input and revised.file_path = known.file_path
    cross join loads
)

select * from final
