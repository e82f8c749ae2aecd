{# CTEs that say what can be watched of each monitored model: its slices, features and protected
   attributes. condition_problems() reads them. #}
{% macro watchable_ctes() %}
slices as (
    {% for model in monitored_models() %}
    select
        {{ text_literal(model.name) }} as model_name,
        'all' as slice_key,
        false as is_intersection
    {% for slice in model.slices + model.intersections %}
    union all
    select
        {{ text_literal(model.name) }} as model_name,
        {{ text_literal(slice.name) }} as slice_key,
        {{ 'breaks' not in slice }} as is_intersection
    {% endfor %}
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

features as (
    {% for model in monitored_models() %}
    {% for feature in drift_features(model) + [{'name': '*'}] %}
    select
        {{ text_literal(model.name) }} as model_name,
        {{ text_literal(feature.name) }} as feature
    {{ 'union all' if not loop.last }}
    {% endfor %}
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

protected_attributes as (
    select
        model_name,
        unnest(protected_attributes) as slice_key
    from {{ ref('int_monitored_models') }}
)
{%- endmacro %}


{# Branches of a `case` that name what is wrong with the condition that a CTE `typed` has in a row:
   model_name, role, metric, slice_key, feature, comparison, window_size, comparator. #}
{% macro condition_problems() %}
{%- set service = text_literals(ml_monitoring.service_metrics()) -%}
{%- set quality = text_literals(ml_monitoring.metrics_of(['data_quality', 'label_corrections'])) -%}
{%- set drift = text_literals(ml_monitoring.feature_metrics()) -%}
{%- set integrity = text_literals(ml_monitoring.metrics_of(['feature_integrity'])) -%}
{%- set gaps = text_literals(ml_monitoring.fairness_metrics()) -%}
{%- set sliced = text_literals(ml_monitoring.metrics_of(
    ['service_levels', 'label_coverage', 'feature_drift', 'model_performance', 'calibration',
     'fairness', 'custom_metrics']
)) -%}
{%- set custom_metrics = ml_monitoring.custom_metrics() -%}
            when coalesce(model_name, '') not in (select model_name from slices)
                then 'model_name is none of the monitored models'
            when role not in ('live', 'shadow', 'all') then 'role must be live, shadow or all'
            when coalesce(metric, '') not in ({{ text_literals(ml_monitoring.metric_names()) }})
                then 'metric must be one of {{ ml_monitoring.metric_names() | join(', ') }}'
            {% for model in monitored_models() %}
            when
                model_name = {{ text_literal(model.name) }}
                and metric in ({{ text_literals(ml_monitoring.metrics_of_other_tasks(model.task)) }})
                then 'the model is a {{ model.task }}, which has no such metric'
            {% endfor %}
            when not exists (
                select 1 from slices
                where slices.model_name = typed.model_name and slices.slice_key = typed.slice_key
            ) then 'slice_key is none of the slices of the model'
            when
                metric not in ({{ text_literals(ml_monitoring.labelled_metrics()) }})
                and exists (
                    select 1 from slices
                    where
                        slices.model_name = typed.model_name
                        and slices.slice_key = typed.slice_key
                        and slices.is_intersection
                )
                then 'only metrics of labels are by intersections of protected attributes'
            when {{ window_minutes('window_size') }} is null
                then 'window_size must be like 10m, 6h or 7d'
            when
                {{ window_minutes('window_size') }} > 60
                and {{ window_minutes('window_size') }} % 60 <> 0
                then 'windows over an hour must be whole hours: window_size like 2h'
            when
                metric in ({{ quality }}) and role <> 'all'
                then 'this metric is of all versions and roles together: role must be all'
            when
                metric not in ({{ quality }}) and role = 'all'
                then 'role must be live or shadow for this metric'
            when
                slice_key <> 'all' and metric not in ({{ sliced }})
                then 'this metric is of whole models: slice_key must be all'
            {%- for custom in custom_metrics %}
            when
                metric = '{{ custom.name }}'
                and model_name not in ({{ text_literals(custom.models) }})
                then 'this custom metric is not of this model: see custom_metrics'
            when
                metric = '{{ custom.name }}'
                and slice_key not in ({{ text_literals(['all'] + custom.slices) }})
                then 'slice_key is none of the slices of this custom metric: see custom_metrics'
            {%- endfor %}
            when
                metric in ('slow_count', 'slow_rate')
                and {{ ml_monitoring.latency_threshold_ms() }} is null
                then 'this metric needs latency_threshold_ms: set it for the model'
            when
                metric in ({{ gaps }})
                and not exists (
                    select 1 from protected_attributes
                    where
                        protected_attributes.model_name = typed.model_name
                        and protected_attributes.slice_key = typed.slice_key
                )
                then 'slice_key is none of the protected attributes of the model'
            when
                feature is not null and metric not in ({{ drift }})
                then 'this metric is of no feature: leave feature empty'
            when
                metric in ({{ drift }})
                and not exists (
                    select 1 from features
                    where
                        features.model_name = typed.model_name
                        and features.feature = typed.feature
                )
                then 'feature must be a feature of the model, score, or * for each of them'
            when comparison not in ('baseline', 'previous')
                then 'comparison must be baseline or previous'
            when
                {{ window_minutes('window_size') }} < 60 and slice_key <> 'all'
                then 'windows under an hour are for whole models: slice_key must be all'
            when
                metric not in ({{ service }})
                and not list_contains(
                    case
                        when metric in ('requests_vs_week_before', 'is_unexpectedly_silent')
                            then ['1h']
                        when metric in ({{ quality }}) then ['1h', '1d']
                        when metric in ({{ integrity }}) then ['1d']
                        when metric in ({{ drift }})
                            then list_transform(
                                {{ ml_monitoring.settings().drift_windows_days }},
                                lambda days: days || 'd'
                            )
                        {%- for custom in custom_metrics %}
                        when metric = '{{ custom.name }}'
                            then list_transform(
                                {{ custom.windows_days }}, lambda days: days || 'd'
                            )
                        {%- endfor %}
                        when metric = 'domain_classifier_auc'
                            then ['{{ ml_monitoring.settings().drift_windows_days | max }}d']
                        else list_transform(
                            {{ ml_monitoring.performance_windows_days() }}, lambda days: days || 'd'
                        )
                    end,
                    window_size
                )
                then 'window_size is none that the metric is computed for'
            when coalesce(comparator, '') not in ('<', '<=', '>', '>=')
                then 'comparator must be one of < <= > >='
{%- endmacro %}
