-- Each line ends in exactly one outcome. line_count is the reader's own count, taken before SQL
-- saw a line: where it differs from the sum, lines were lost or counted twice.
with

files as (
    select
        input,
        file_path,
        line_count,
        accepted_count + duplicate_count + rejected_count + held_count + superseded_count
        + unmatched_count as outcome_count
    from {{ ref('ingestion_reconciliation') }}
)

select *
from files
where line_count is distinct from outcome_count
