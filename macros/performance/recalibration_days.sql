{# The days up to as_of that a recalibration is planned from, and how many of them, the last third,
   it is judged on: those that the fit has not seen. #}
{% macro recalibration_days() %}
    {% set days = [ml_monitoring.performance_windows_days() | max, 3] | max %}
    {{ return({'all': days, 'judged': days // 3}) }}
{% endmacro %}
