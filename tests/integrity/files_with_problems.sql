-- Files that could not be read as a whole: cut off, damaged, or with a last line without an end.
{{ config(severity='warn') }}

select
    input,
    file_path,
    file_problem
from {{ ref('int_ingested_files') }}
where file_problem is not null
