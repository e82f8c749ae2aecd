-- Grain: one deployment of a model version in a role. `to` is null while it goes on.
select
    model as model_name,
    version as model_version,
    role,
    try_cast("from" as timestamp) as deployed_from,
    try_cast("to" as timestamp) as deployed_to
from {{ seed_or_relation('deployments') }}
