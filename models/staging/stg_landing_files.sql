-- Grain: one landing file that is there now, or was when it was last read.
-- Rebuilt by each run; int_ingested_files closes the run by noting what was read, so a run that
-- was killed between the two reads the same files again.
{{ config(materialized='table') }}

{% set inputs = ['inference_events', 'labels'] %}
{% set ledger = as_left_by_last_build('int_ingested_files') if not flags.FULL_REFRESH %}

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
    {% set folder = landing_path() ~ '/' ~ input %}
    select
        '{{ input }}' as input,
        {# Relative, so that the same files elsewhere give the same tables. #}
        filename[{{ landing_path() | length + 2 }}:] as file_path,
        size as file_size,
        last_modified::timestamp as modified_at,
        0::ubigint as content
    from
        read_blob([
            {{ text_literal(folder ~ '/**/*.jsonl') }},
            {{ text_literal(folder ~ '/**/*.jsonl.gz') }},
            {{ text_literal(folder ~ '/**/*.parquet') }}
        ])
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
        file_revision
    from {{ ledger }}
    {% else %}
    select
        input,
        file_path,
        file_size,
        modified_at,
        file_revision
    from revised
    where false
    {% endif %}
),

final as (
    select
        coalesce(revised.input, ledger.input) as input,
        coalesce(revised.file_path, ledger.file_path) as file_path,
        coalesce(revised.file_size, ledger.file_size) as file_size,
        coalesce(revised.modified_at, ledger.modified_at) as modified_at,
        coalesce(revised.file_revision, ledger.file_revision) as file_revision,
        (
            revised.file_revision is not null
            and revised.file_revision is distinct from ledger.file_revision
        ) as is_changed,
        (revised.file_revision is null) as is_gone
    from revised
    full outer join ledger
        on revised.input = ledger.input and revised.file_path = ledger.file_path
)

select * from final
