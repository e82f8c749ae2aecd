-- Which slice fell most, and is it more than chance?
--
-- The newest window of seven days of the live model with mature labels: the three slices that
-- became worst against the rest of the model since the baseline, for each metric.
--
-- Read it like this. `is_more_than_chance`: the slice has changed otherwise than the rest, and of
-- all rows that say so at most 5 % are expected to be chance. How large the fall is, `beyond_rest`
-- says. Where no row is more than chance the first is only the first of a list, and the change of
-- the whole, if there is one, is not that of a slice. `own_part` is what the slice's own change
-- adds to that of the whole, `mix_part` what its larger or smaller share adds: where mix is most of
-- it, nothing became worse, the traffic changed. Accuracy follows the share of positives; roc_auc
-- does not.
--
-- Run it with: dbt show --select which_slice_fell_most --limit 50
with

compared as (
    select
        *,
        max(window_end) filter (where data_status = 'ok') over (partition by model_name)
            as newest_end
    from {{ ref('slice_changes') }}
    where
        role = 'live'
        and window_size = '7d'
        and label_view = 'as_known'
)

select
    model_name,
    model_version,
    window_end,
    metric,
    slice_rank,
    slice_key,
    slice_value,
    labeled_count,
    round(reference_value, 3) as value_before,
    round(value, 3) as value_now,
    round(rest_change, 3) as change_of_rest,
    round(difference_in_changes, 3) as beyond_rest,
    round(standard_error, 3) as standard_error,
    round(qvalue, 4) as qvalue,
    qvalue <= 0.05 as is_more_than_chance,
    round(rate_effect, 4) as own_part,
    round(mix_effect, 4) as mix_part,
    round(whole_change, 4) as change_of_whole
from compared
where window_end = newest_end and slice_rank <= 3
order by
    model_name asc,
    model_version asc,
    metric asc,
    slice_rank asc
