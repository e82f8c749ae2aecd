{# Moments of a streaming run, as literals: only those keep a scan to the rows in their range. #}

{# The first minute that the run keeps up to date. #}
{% macro streaming_start() %}
    {% set moment = ml_monitoring.as_of_plus(-ml_monitoring.streaming_lookback_minutes()) %}
    {{ return(moment[:-4] ~ ":00'") }}
{% endmacro %}


{# What is dated later waits for a main build. #}
{% macro streaming_held_after() %}
    {{ return(ml_monitoring.as_of_plus(ml_monitoring.max_clock_skew_minutes())) }}
{% endmacro %}


{# A file holds nothing that is later than its last change, but for clocks that are ahead: one that
   was last changed before this has nothing that the run asks for. #}
{% macro streaming_files_since() %}
    {% set minutes = ml_monitoring.streaming_lookback_minutes()
        + ml_monitoring.max_clock_skew_minutes() + 1 %}
    {{ return(ml_monitoring.as_of_plus(-minutes)) }}
{% endmacro %}


{% macro as_of_plus(minutes) %}
    {% set moment = modules.datetime.datetime.strptime(ml_monitoring.as_of(), '%Y-%m-%d %H:%M:%S')
        + modules.datetime.timedelta(minutes=minutes) %}
    {{ return("timestamp '" ~ moment.strftime('%Y-%m-%d %H:%M:%S') ~ "'") }}
{% endmacro %}


{# What the streamed lines are made with besides the files: where it changes, all are read anew. #}
{% macro streaming_definition() %}
    {{ return(local_md5(tojson([
        ml_monitoring.input_definition(),
        ml_monitoring.streaming_lookback_minutes(),
        ml_monitoring.max_clock_skew_minutes(),
    ]))) }}
{% endmacro %}
