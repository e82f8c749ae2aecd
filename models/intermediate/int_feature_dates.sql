-- Grain: one date with accepted events, and the fingerprint of its events and of the bins that
-- they are counted in.
{{ config(meta={'settings': ['multivariate_drift']}) }}

with

bins as (
    select
        {{ fingerprint(hash64([
            'bins.model_name', 'bins.feature', 'bins.feature_type', 'bins.edges', 'bins.categories',
            'bins.other_categories',
        ])) }} as revision
    from {{ ref('int_baseline_bins') }} as bins
    inner join {{ ref('int_monitored_models') }} as models
        on
            bins.model_name = models.model_name
            and bins.baseline_version = models.baseline_version
)

select
    dates.event_date,
    {{ revision_of(hash64(['dates.revision', 'bins.revision'])) }} as revision
from {{ ref('int_event_dates') }} as dates
cross join bins
