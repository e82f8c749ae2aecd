-- Grain: one date on which some version was a shadow, and the fingerprint of its pairs, their
-- labels and the ranges of the features.
with

cuts as (
    select {{ fingerprint(hash64(['model_name', 'feature', 'cuts', 'categories'])) }} as revision
    from {{ ref('int_feature_cuts') }}
)

select
    dates.event_date,
    {{ hash64(['dates.revision', 'cuts.revision']) }} as revision
from {{ ref('int_shadow_dates') }} as dates
cross join cuts
