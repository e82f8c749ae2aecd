{# Names from the configuration as SQL: never pasted unquoted. #}

{% macro text_literal(value) %}
    {{- return("'" ~ value | string | replace("'", "''") ~ "'") -}}
{% endmacro %}


{% macro text_literals(values) %}
    {%- set literals = [] -%}
    {%- for value in values -%}
        {%- do literals.append(ml_monitoring.text_literal(value)) -%}
    {%- endfor -%}
    {{- return(literals | join(', ')) -}}
{% endmacro %}


{# The features and attributes that are read from each event: for each struct of the staging
   table the names in it, with their kind; a timestamp becomes its age. Names of all models together; a name that one model
   declares numerical and another categorical is in both structs. #}
{% macro event_structs() %}
    {% set structs = {'numerical_features': {}, 'categorical_features': {}, 'attributes': {}} %}
    {% for model in ml_monitoring.monitored_models() %}
        {% for feature in model.features %}
            {% if feature.type in ml_monitoring.number_types() %}
                {% do structs.numerical_features.update(
                    {feature.name: 'age' if feature.type == 'timestamp' else 'number'}) %}
            {% else %}
                {% set kind = 'boolean' if feature.type == 'boolean' else 'category' %}
                {% set other = structs.categorical_features.get(feature.name, kind) %}
                {# What one model takes for a boolean may be a category to another. #}
                {% do structs.categorical_features.update(
                    {feature.name: kind if kind == other else 'category'}) %}
            {% endif %}
        {% endfor %}
        {% for slice in model.slices if not slice.is_feature %}
            {% do structs.attributes.update({slice.name: 'category'}) %}
        {% endfor %}
    {% endfor %}
    {% for metric in ml_monitoring.custom_metrics() %}
        {% do structs.attributes.update(dict.fromkeys(metric.attributes, 'category')) %}
    {% endfor %}
    {{ return(structs) }}
{% endmacro %}


{# The slices that an event is in, as SQL: a list of (slice_key, slice_value), the whole model
   first. `events` is the alias of a relation with the structs of the staging table. With
   `intersections` also the groups of two protected attributes at once. #}
{% macro slices_of(events, intersections=false) -%}
    [struct_pack(slice_key := 'all', slice_value := 'all')]
    {%- set sliced = ml_monitoring.monitored_models() | selectattr('slices') | list %}
    {%- if sliced %} || case {{ events }}.model_name
        {%- for model in sliced %}
        when {{ ml_monitoring.text_literal(model.name) }} then [
            {%- for slice in model.slices %}
            struct_pack(
                slice_key := {{ ml_monitoring.text_literal(slice.name) }},
                slice_value := {{ ml_monitoring.slice_value(events, model, slice) }}
            )
            {{- ',' if not loop.last }}
            {%- endfor %}
            {%- for pair in model.intersections if intersections %},
            struct_pack(
                slice_key := {{ ml_monitoring.text_literal(pair.name) }},
                slice_value := {{ ml_monitoring.slice_value(events, model, pair.slices[0]) }}
                    || ' x ' || {{ ml_monitoring.slice_value(events, model, pair.slices[1]) }}
            )
            {%- endfor %}
        ]
        {%- endfor %}
        else []
    end
    {%- endif %}
{%- endmacro %}


{# The value of one slice as text: a category, or the interval that a number falls into. #}
{% macro slice_value(events, model, slice) -%}
    {%- set feature = model.features | selectattr('name', 'equalto', slice.name) | first -%}
    {%- set struct = 'attributes' if not slice.is_feature
        else 'numerical_features' if feature.type in ml_monitoring.number_types() else 'categorical_features' -%}
    {%- set value = events ~ '.' ~ struct ~ '.' ~ adapter.quote(slice.name) -%}
    {%- if not slice.breaks -%}
        coalesce({{ value }}, '(missing)')
    {%- else -%}
        {%- set value = 'try_cast(' ~ value ~ ' as double)' -%}
        case
            when {{ value }} is null or isnan({{ value }}) then '(missing)'
            {%- for bound in slice.breaks %}
            when {{ value }} < {{ bound }} then
                {{- " '" ~ (slice.breaks[loop.index0 - 1] ~ ' to ' if not loop.first else '') ~ '< ' ~ bound ~ "'" }}
            {%- endfor %}
            else '>= {{ slice.breaks | last }}'
        end
    {%- endif -%}
{%- endmacro %}
