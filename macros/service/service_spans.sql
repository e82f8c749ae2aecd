{# The minutes in which each version is expected to serve, from a CTE `observed` (model_name,
   model_version, role, first_minute, last_minute), the deployments and a clock. #}
{% macro service_spans(deployments, as_of) %}
    with

    deployed as (
        select
            model_name,
            model_version,
            role,
            nullif(max(coalesce(deployed_to, timestamp '9999-01-01')), timestamp '9999-01-01')
                as deployed_to
        from {{ deployments }}
        group by all
    ),

    newest as (
        select
            model_name,
            max(last_minute) as last_minute
        from observed
        where role = 'live'
        group by model_name
    ),

    clock as (
        select {{ as_of }} as as_of
    ),

    ended as (
        select
            observed.*,
            date_trunc('minute', clock.as_of) as closed_until,
            case
                when deployed.model_name is not null
                    then coalesce(deployed.deployed_to, clock.as_of)
                -- Nobody said how long it serves: only the live version that is in use goes on.
                when observed.role = 'live' and observed.last_minute = newest.last_minute
                    then clock.as_of
                else observed.last_minute + interval '1 minute'
            end as served_until
        from observed
        cross join clock
        left join deployed
            on
                observed.model_name = deployed.model_name
                and observed.model_version = deployed.model_version
                and observed.role = deployed.role
        left join newest on observed.model_name = newest.model_name
    )

    select
        model_name,
        model_version,
        role,
        first_minute as span_start,
        least(date_trunc('minute', served_until), closed_until) as span_end,
        served_until >= closed_until as is_serving
    from ended
{% endmacro %}
