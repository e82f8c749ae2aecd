-- Grain: one date with accepted events, and the fingerprint of its events, of all that is known of
-- their labels, and of the bins of scores.
with

bins as (
    select {{ fingerprint(hash64(['bins.model_name', 'bins.edges'])) }} as revision
    from {{ ref('int_baseline_bins') }} as bins
    inner join {{ ref('int_monitored_models') }} as models
        on
            bins.model_name = models.model_name
            and bins.baseline_version = models.baseline_version
    where bins.feature_type = 'prediction'
)

select
    dates.event_date,
    {{ hash64(['dates.revision', 'bins.revision']) }} as revision
from {{ ref('int_label_dates') }} as dates
cross join bins
