-- A metric of one window_size comes from one table: with two, a target would judge both, and
-- monitoring_metrics would show it twice.
with

homes as (
    select distinct
        metric,
        window_size,
        home_table
    from {{ ref('int_metric_values') }}
)

select
    metric,
    window_size,
    string_agg(home_table, ', ' order by home_table) as home_tables
from homes
group by all
having count(*) > 1
