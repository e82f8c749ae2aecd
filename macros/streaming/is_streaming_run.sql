{# Whether this run is of the streaming path alone. A main build, which has the main clock among
   what it makes, leaves the streamed tables as they are. #}
{% macro is_streaming_run() %}
    {{ return(
        execute and selected_resources is defined
        and 'model.ml_monitoring.stg_streamed_lines' in selected_resources
        and 'model.ml_monitoring.int_as_of' not in selected_resources
    ) }}
{% endmacro %}
