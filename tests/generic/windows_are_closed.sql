{# Fails for each window that is not over yet, or is not as long as its window_size says. #}
{% test windows_are_closed(model) %}
    select
        windows.model_name,
        windows.window_size,
        windows.window_start,
        windows.window_end,
        clock.as_of
    from {{ model }} as windows
    cross join {{ ref('int_as_of') }} as clock
    where
        windows.window_end > clock.as_of
        or windows.window_start + to_minutes({{ ml_monitoring.window_minutes('windows.window_size') }})
        is distinct from windows.window_end
{% endtest %}
