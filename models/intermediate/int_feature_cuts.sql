-- Grain: one feature of a monitored model, and where disagreements of two versions part its values:
-- at up to nine quantiles of the baseline, or the categories of the baseline.
with

bins as (
    select
        bins.*,
        -- The edges of a discrete feature are its values, each with the number just below it.
        case
            when bins.is_discrete
                then list_filter(bins.edges, lambda edge, place: place % 2 = 0) -- noqa: RF02
            else bins.edges
        end as points
    from {{ ref('int_baseline_bins') }} as bins
    inner join {{ ref('int_monitored_models') }} as models
        on
            bins.model_name = models.model_name
            and bins.baseline_version = models.baseline_version
)

select
    model_name,
    feature,
    case
        when feature = 'score' then [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
        when len(points) <= 10 then points[:-2]
        else
            list_sort(list_distinct(list_transform(
                range(1, 10), lambda tenth: points[1 + tenth * (len(points) - 1) // 10]
            )))
    end::double [] as cuts,
    categories
from bins
