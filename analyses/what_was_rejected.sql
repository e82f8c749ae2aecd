-- What was rejected, by which writer, and since when?
--
-- One row for each reason and writer, from the files of the last 7 days. The writer is what a
-- file's name begins with, up to the date in it: the logger of this project names files
-- <host>-<process>-<time>-<token>, so it is host and process there. Else it is the folder.
--
-- Read it like this: one writer only: look at that host. All writers since one moment: a release
-- of the service or of its logger. `share_of_lines` is small and steady: clients that send
-- nonsense; a target on reject_rate should allow for it.
--
-- The text of the lines is in the restricted schema: stg_rejected_lines.raw_line.
-- Run it with: dbt show --select what_was_rejected --limit 50
with

files as (
    select
        input,
        file_path,
        line_count,
        modified_at,
        -- The file's name without what differs from file to file.
        coalesce(
            nullif(regexp_extract(
                regexp_extract(file_path, '[^/]*$'),
                '^(.*?)-?([0-9]{8}T|[0-9]{4}-[0-9]{2}-[0-9]{2})',
                1
            ), ''),
            regexp_extract(file_path, '^(.*)/', 1)
        ) as writer
    from {{ ref('ingestion_reconciliation') }}
    where
        modified_at is null
        or modified_at > (
            select max(modified_at) - interval '7 days'
            from {{ ref('ingestion_reconciliation') }}
        )
),

writers as (
    select
        input,
        writer,
        sum(line_count) as line_count
    from files
    group by all
),

rejected as (
    select
        files.input,
        files.writer,
        records.reject_reason,
        count(*) as rejected_count,
        count(distinct records.file_path) as file_count,
        min(files.modified_at) as first_file_at,
        max(files.modified_at) as last_file_at,
        arg_max(records.file_path, files.modified_at) as newest_file,
        arg_max(records.line_number, files.modified_at) as a_line_of_it
    from {{ ref('rejected_records') }} as records
    inner join files
        on
            records.input = files.input
            and records.file_path = files.file_path
    group by all
)

select
    rejected.input,
    rejected.writer,
    rejected.reject_reason,
    rejected.rejected_count,
    round(rejected.rejected_count / writers.line_count, 4) as share_of_lines,
    rejected.file_count,
    rejected.first_file_at,
    rejected.last_file_at,
    rejected.newest_file,
    rejected.a_line_of_it
from rejected
inner join writers
    on
        rejected.input = writers.input
        and rejected.writer = writers.writer
order by
    rejected.rejected_count desc,
    rejected.input asc,
    rejected.writer asc,
    rejected.reject_reason asc
