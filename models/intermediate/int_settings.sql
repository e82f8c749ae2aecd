-- Grain: one row, what the statistics are computed with, for the Python models.
select
    {% for name, value in settings().items() %}
    {{ value }}{{ '::double' if value is float }} as {{ name }}{{ ',' if not loop.last }}
    {% endfor %}
