{# What a relation with an event_hour has counted in the hours of int_suspect_counts, those of labels
   aside. With `of_series` of the version and role of the alert, else of its model. #}
{% macro hours_counted(measure, suspect, relation, numerator, denominator=none, of_series=true) -%}
    select
        hours.alert_id,
        hours.span,
        hours.period_number,
        hours.bin,
        '{{ measure }}' as measure,
        {{ suspect if suspect.startswith("'") else 'counted.' ~ suspect }} as suspect,
        sum(counted.{{ numerator }})::hugeint as numerator,
        {{ 'null' if denominator is none else '0' if denominator == '0'
            else 'sum(counted.' ~ denominator ~ ')' }}::hugeint as denominator,
        null as detail
    from hours
    inner join {{ relation }} as counted
        on
            hours.model_name = counted.model_name
            and hours.event_hour = counted.event_hour
            {%- if of_series %}
            and hours.model_version in ('all', counted.model_version)
            and hours.role in ('all', counted.role)
            {%- endif %}
    where hours.span <> 'labels'
    group by all
{%- endmacro %}
