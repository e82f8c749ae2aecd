{# The measures of a group of events: exact quantiles, and sums and histograms that merge. #}
{% macro service_measures() -%}
    count(*) as request_count,
    count(*) filter (where status >= 400) as error_count,
    count(latency_ms) as latency_count,
    -- Null where the model has no threshold; a latency that is null is none that is slow.
    sum((coalesce(latency_ms, 0) > {{ ml_monitoring.latency_threshold_ms() }})::integer)::bigint
        as slow_count,
    -- Fixed point: a parallel sum of doubles differs from run to run.
    sum(round(latency_ms * {{ ml_monitoring.latency_unit() }})::bigint)::hugeint as latency_sum,
    max(latency_ms) as latency_max_ms,
    quantile_cont(latency_ms, [0.5, 0.95, 0.99]) as latency_quantiles,
    quantile_cont(inference_time_ms, [0.5, 0.95]) as inference_time_quantiles,
    histogram({{ ml_monitoring.latency_bin('latency_ms') }}) as latency_histogram,
    histogram({{ ml_monitoring.latency_bin('inference_time_ms') }}) as inference_time_histogram
{%- endmacro %}


{# The latency above which a request is slow, by model_name; null for a model without. #}
{% macro latency_threshold_ms() -%}
    case model_name
        {%- for model in ml_monitoring.monitored_models() %}
        when {{ ml_monitoring.text_literal(model.name) }}
            then {{ 'null' if model.latency_threshold_ms is none else model.latency_threshold_ms }}
        {%- endfor %}
    end::double
{%- endmacro %}


{# How many of the latencies of a window were slow. A window without a request has no slow one, a
   model without a threshold no such number. #}
{% macro slow_columns() -%}
    case
        when {{ ml_monitoring.latency_threshold_ms() }} is not null
            then slow_count
    end as slow_count,
    case
        when {{ ml_monitoring.latency_threshold_ms() }} is not null
            then slow_count / nullif(latency_count, 0)
    end as slow_rate
{%- endmacro %}


{# Latencies are summed in units of 2^-20 ms. #}
{% macro latency_unit() %}{{ return(1048576) }}{% endmacro %}


{# The bin of a latency, as python_udfs/latency.py reads it: bin b holds (1.04^(b-1), 1.04^b]
   ms, so that its middle is within 2 % of every latency in it. What is under a microsecond is
   in the lowest bin and read as 0. #}
{% macro latency_bin(latency_ms) -%}
    case
        -- Not else: greatest() passes over a null.
        when {{ latency_ms }} <= 0.001 then -177
        when {{ latency_ms }} > 0.001 then greatest(ceil(ln({{ latency_ms }}) / ln(1.04)), -176)::integer
    end
{%- endmacro %}


{# The columns of a service table from the measures. #}
{% macro service_columns(minutes) -%}
    request_count,
    request_count / {{ minutes }} as requests_per_minute,
    error_count,
    error_count / nullif(request_count, 0) as error_rate,
    {{ ml_monitoring.slow_columns() }},
    latency_quantiles[1] as latency_p50_ms,
    latency_quantiles[2] as latency_p95_ms,
    latency_quantiles[3] as latency_p99_ms,
    latency_sum::double / {{ ml_monitoring.latency_unit() }} / nullif(latency_count, 0) as latency_mean_ms,
    latency_max_ms,
    inference_time_quantiles[1] as inference_time_p50_ms,
    inference_time_quantiles[2] as inference_time_p95_ms
{%- endmacro %}
