-- Is a slice calibrated over the whole of last month?
--
-- A day of a slice has so few labels that its calibration error is mostly noise. This pools the
-- reliability curves of the last 28 days, slice by slice, with the functions of docs/functions.md.
-- The pooled error is exact: means times counts are sums again.
--
-- Read it like this: `ece` far over `ece_noise_floor`, and `mce` in the bins where decisions are
-- made: the slice needs a recalibration of its own. `gap_lower` above 0: its share of positives
-- differs from its mean score for certain: scores are too low; `gap_upper` below 0: too high.
--
-- Run it with: dbt show --select calibration_of_pooled_days --limit 50
with

curves as (
    select
        *,
        max(window_end) over (partition by model_name) as newest_end
    from {{ ref('reliability_curve') }}
    where
        role = 'live'
        and label_view = 'latest'
        and window_size = '1d'
),

bins as (
    select
        model_name,
        model_version,
        slice_key,
        slice_value,
        bin,
        sum(labeled_count)::bigint as labeled_count,
        sum(mean_score * labeled_count) as score_sum,
        -- A share of a count is a whole number again.
        sum(round(positive_rate * labeled_count))::bigint as positive_count,
        -- About the sum of s (1 - s), with all scores of a bin and day at their mean.
        sum(mean_score * (1 - mean_score) * labeled_count) as variance_sum
    from curves
    where window_end > newest_end - interval '28 days'
    group by all
),

slices as (
    select
        model_name,
        model_version,
        slice_key,
        slice_value,
        sum(labeled_count)::bigint as labeled_count,
        sum(positive_count)::bigint as positive_count,
        sum(score_sum) / sum(labeled_count) as mean_score,
        list(labeled_count order by bin) as counts,
        list(score_sum order by bin) as score_sums,
        list(positive_count order by bin) as positives,
        list(variance_sum order by bin) as variance_sums
    from bins
    group by all
)

select
    model_name,
    model_version,
    slice_key,
    slice_value,
    labeled_count,
    round(ece(counts, score_sums, positives), 4) as ece,
    round(ece_noise_floor(counts, variance_sums), 4) as ece_noise_floor,
    round(mce(counts, score_sums, positives), 4) as mce,
    round(wilson_lower(positive_count, labeled_count) - mean_score, 4) as gap_lower,
    round(wilson_upper(positive_count, labeled_count) - mean_score, 4) as gap_upper
from slices
order by ece - ece_noise_floor desc
