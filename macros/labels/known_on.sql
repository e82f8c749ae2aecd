{# The earliest midnight W after an event's date with labeled_at <= W + grace: what happened then
   counts in windows that end at W or later. #}
{% macro known_on(labeled_at, event_date, grace_hours) -%}
    greatest(
        {{ event_date }} + interval '1 day',
        time_bucket(
            interval '1 day',
            {{ labeled_at }} - to_microseconds(({{ grace_hours }} * 3.6e9)::bigint)
            + interval '1 day' - interval '1 microsecond'
        )
    )::date
{%- endmacro %}
