{# The pairs of configured slices that an event is in, as SQL: a list of (slice_key, slice_value,
   first_key, first_value, second_key, second_value). `events` as in slices_of. #}
{% macro slice_pairs_of(events) -%}
    case {{ events }}.model_name
        {%- for model in ml_monitoring.monitored_models() %}
        when {{ ml_monitoring.text_literal(model.name) }} then [
            {%- set pairs = [] %}
            {%- for first in model.slices %}
                {%- for second in model.slices[loop.index:] %}
                    {%- do pairs.append((first, second)) %}
                {%- endfor %}
            {%- endfor %}
            {%- for first, second in pairs %}
            {%- set first_value = ml_monitoring.slice_value(events, model, first) %}
            {%- set second_value = ml_monitoring.slice_value(events, model, second) %}
            struct_pack(
                slice_key := {{ ml_monitoring.text_literal(first.name ~ ' x ' ~ second.name) }},
                slice_value := {{ first_value }} || ' x ' || {{ second_value }},
                first_key := {{ ml_monitoring.text_literal(first.name) }},
                first_value := {{ first_value }},
                second_key := {{ ml_monitoring.text_literal(second.name) }},
                second_value := {{ second_value }}
            )
            {{- ',' if not loop.last }}
            {%- endfor %}
        ]::struct(
            slice_key varchar, slice_value varchar, first_key varchar, first_value varchar,
            second_key varchar, second_value varchar
        ) []
        {%- endfor %}
    end
{%- endmacro %}
