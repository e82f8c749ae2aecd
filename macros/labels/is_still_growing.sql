{# Whether a window of the as_known view may still gain labels: its grace is not over. #}
{% macro is_still_growing() -%}
    coverage.label_view = 'as_known'
    and coverage.window_end
    + to_microseconds((models.label_grace_hours * 3.6e9)::bigint) > clock.as_of
{%- endmacro %}
