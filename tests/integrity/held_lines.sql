-- Lines dated further ahead than a clock may be: they wait until their time has come. A service
-- whose clock is wrong is missing from the tables until then.
{{ config(severity='warn') }}

select
    input,
    file_path,
    held_count
from {{ ref('int_held_lines') }}
