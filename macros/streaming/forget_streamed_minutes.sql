{# Pre-hook of int_streamed_minutes: delete minutes of the lookback that are not what they were, and
   those before it that the main build has by now. #}
{% macro forget_streamed_minutes() %}
    {% set main_clock = ml_monitoring.built(ref('int_as_of')) %}
    {% if is_incremental() and ml_monitoring.is_streaming_run() %}
        delete from {{ this }} as held
        where
            case
                when held.window_start >= {{ ml_monitoring.streaming_start() }}
                    then not exists (
                        select 1
                        from {{ ref('int_streamed_calendar') }} as calendar
                        where
                            calendar.window_start = held.window_start
                            and {{ ml_monitoring.revision_of('calendar.revision') }} = held.revision
                    )
                {%- if main_clock %}
                else held.window_start < (
                    select date_trunc('minute', max(as_of)) from {{ main_clock }}
                )
                {%- endif %}
            end
    {% endif %}
{% endmacro %}
