{# Fails for each window that is not over yet, by the latest of the clocks, or is not as long as its
   window_size says. #}
{% test windows_are_closed(model, clocks=['int_as_of']) %}
    select
        windows.model_name,
        windows.window_size,
        windows.window_start,
        windows.window_end,
        clock.as_of
    from {{ model }} as windows
    cross join (
        select max(as_of) as as_of
        from (
            {%- for clock in clocks %}
            select as_of
            from {{ ml_monitoring.built_or_empty(ref(clock), {'as_of': 'timestamp'}) }}
            {{- ' union all' if not loop.last }}
            {%- endfor %}
        )
    ) as clock
    where
        windows.window_end > clock.as_of
        or windows.window_start + to_minutes({{ ml_monitoring.window_minutes('windows.window_size') }})
        is distinct from windows.window_end
{% endtest %}
