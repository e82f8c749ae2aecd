-- Grain: one criterion of a launch decision, as the seed or the user's relation has it, typed, with
-- what is wrong with it in words. A classifier of two classes without any has the defaults.
{{ config(schema='internal', materialized='table') }}
{% set plain = text_literals(whole_launch_criteria()) %}
{% set gaps = text_literals(group_launch_criteria()) %}

with

given as (
    select * from {{ seed_or_relation('launch_margins', launch_margin_columns()) }}
),

typed as (
    select
        model_name::varchar as model_name,
        criterion::varchar as criterion,
        coalesce(nullif(slice_key::varchar, ''), 'all') as slice_key,
        try_cast(margin as double) as margin,
        comment::varchar as comment,
        false as is_default
    from given
),

protected as (
    select
        model_name,
        unnest(protected_attributes) as slice_key
    from {{ ref('int_monitored_models') }}
),

judged as (
    select
        typed.*,
        case
            when
                coalesce(model_name, '') not in (
                    select model_name from {{ ref('int_monitored_models') }}
                    where task = 'binary_classification'
                )
                then 'model_name is none of the monitored classifiers of two classes'
            when coalesce(criterion, '') not in ({{ plain }}, {{ gaps }})
                then 'criterion must be one of {{
                    (whole_launch_criteria() + group_launch_criteria()) | join(", ") }}'
            when criterion in ({{ plain }}) and slice_key <> 'all'
                then 'this criterion is of whole models: slice_key must be empty'
            when
                criterion in ({{ gaps }})
                and not exists (
                    select 1 from protected
                    where
                        protected.model_name = typed.model_name
                        and protected.slice_key = typed.slice_key
                )
                then 'slice_key must be a protected attribute of the model'
            when
                count(*) over (partition by model_name, criterion, slice_key) > 1
                then 'the model has this criterion twice'
            when margin is null or not isfinite(margin) or margin < 0
                then 'margin must be a number from 0'
            when
                criterion in ('labeled_pairs', 'shadow_days') and (margin < 1 or margin % 1 <> 0)
                then 'margin must be a whole number from 1'
            when criterion = 'partner_rate' and margin > 1
                then 'margin must be a share, such as 0.95'
        end as problem
    from typed
),

defaults as (
    {% for criterion, margin in default_launch_margins().items() %}
    select
        models.model_name,
        '{{ criterion }}' as criterion,
        {% if criterion in group_launch_criteria() %}
        unnest(models.protected_attributes) as slice_key,
        {% else %}
        'all' as slice_key,
        {% endif %}
        {{ margin }}::double as margin,
        null::varchar as comment,
        true as is_default,
        null::varchar as problem
    from {{ ref('int_monitored_models') }} as models
    where models.task = 'binary_classification'
    {{ 'union all' if not loop.last }}
    {% endfor %}
)

select * from judged
union all
select *
from defaults
where
    model_name not in (select typed.model_name from typed where typed.model_name is not null)
    -- How much there must be is always asked.
    or (
        criterion in ('labeled_pairs', 'shadow_days')
        and (model_name, criterion) not in (
            select (typed.model_name, typed.criterion) from typed
            where typed.model_name is not null and typed.criterion is not null
        )
    )
