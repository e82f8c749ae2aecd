{# Fails for each combination of values that several rows have. Nulls equal each other. Only rows
   that share a hash are compared, which costs a fifth of grouping a large table by its keys. #}
{% test unique_combination(model, columns) %}
    with

    shared_hashes as (
        select {{ ml_monitoring.hash64(columns) }} as key_hash
        from {{ model }}
        group by key_hash
        having count(*) > 1
    )

    select
        {{ columns | join(',\n        ') }},
        count(*) as row_count
    from {{ model }}
    where {{ ml_monitoring.hash64(columns) }} in (select key_hash from shared_hashes)
    group by all
    having count(*) > 1
{% endtest %}
