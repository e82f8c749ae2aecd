{# What is wrong with a number that was logged, in a word; null where nothing is. #}
{% macro number_issue(value, is_given, low=none, high=none) -%}
    case
        when not {{ is_given }} then null
        when {{ value }} is null then 'wrong_type'
        when not isfinite({{ value }}) then 'not_finite'
        {%- if low is not none %}
        when {{ value }} < {{ low }} or {{ value }} > {{ high }} then 'out_of_range'
        {%- endif %}
    end
{%- endmacro %}


{# The declared features and slicing attributes as one struct of typed values, from the struct
   of raw JSON texts. #}
{% macro typed_struct(raw, members) -%}
    struct_pack(
        {%- for name, kind in members.items() %}
        {{ adapter.quote(name) }} := {{ ml_monitoring.typed_member(raw, name, kind) }}
        {{- ',' if not loop.last }}
        {%- else %}
        "(none)" := null::varchar
        {%- endfor %}
    )
{%- endmacro %}

{% macro typed_member(raw, name, kind) -%}
    {%- set value = raw ~ '.' ~ adapter.quote(name) -%}
    {%- if kind == 'number' -%} {{ ml_monitoring.json_number(value) }}
    {%- elif kind == 'age' -%}
        {{ ml_monitoring.hours_since(ml_monitoring.rfc3339_timestamp(
            ml_monitoring.json_text(value), years='[0-9]{4}')) }}
    {%- elif kind == 'category' -%} {{ ml_monitoring.json_category(value) }}
    {%- else -%} case when {{ value }}::varchar in ('true', 'false') then {{ value }}::varchar end
    {%- endif -%}
{%- endmacro %}


{# The age in hours of an instant at the time of the event, below 0 of one to come. #}
{% macro hours_since(instant) -%}
    (epoch_us(ts) - epoch_us({{ instant }})) / 3.6e9
{%- endmacro %}


{# The numbers of a row of a Parquet file, whose instants the reader has typed. #}
{% macro numbers_of_row(members) -%}
    {%- if 'age' not in members.values() -%} numerical_features
    {%- else -%}
    struct_pack(
        {%- for name, kind in members.items() %}
        {%- set value = 'numerical_features.' ~ adapter.quote(name) %}
        {{ adapter.quote(name) }} := {{ ml_monitoring.hours_since(value) if kind == 'age' else value }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    )
    {%- endif -%}
{%- endmacro %}


{# The fields of typed structs whose raw value was given but is not of the declared type. A
   member may be declared by several models: only those of the event's own model count. #}
{% macro struct_issues(parts) -%}
    list_filter([
        {%- for part in parts %}
        {%- for name in part.members %}
        struct_pack(
            field := {{ ml_monitoring.text_literal(part.prefix ~ '.' ~ name) }},
            issue := case when {{ part.raw }}.{{ adapter.quote(name) }} is not null
                and ({{ part.typed }}).{{ adapter.quote(name) }} is null
                and {{ ml_monitoring.is_declared(part.typed, name) }} then 'wrong_type' end
        ),
        {%- endfor %}
        {%- endfor %}
        struct_pack(field := '', issue := null::varchar)
    ], lambda entry: entry.issue is not null)
{%- endmacro %}

{% macro count_untyped(parts) -%}
    0
    {%- for part in parts %}
    {%- for name in part.members %}
    + ({{ part.raw }}.{{ adapter.quote(name) }} is not null and ({{ part.typed }}).{{ adapter.quote(name) }} is null)::int
    {%- endfor %}
    {%- endfor %}
{%- endmacro %}

{# Whether the event's model declares this member of a struct. #}
{% macro is_declared(struct, name) -%}
    {%- set names = [] -%}
    {%- for model in ml_monitoring.monitored_models() -%}
        {%- for feature in model.features if feature.name == name -%}
            {%- if (feature.type in ml_monitoring.number_types()) == (struct == 'numerical_features')
                  and struct != 'attributes' -%}
                {%- do names.append(model.name) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- for slice in model.slices if slice.name == name and not slice.is_feature
              and struct == 'attributes' -%}
            {%- do names.append(model.name) -%}
        {%- endfor -%}
    {%- endfor -%}
    model_name in ({{ ml_monitoring.text_literals(names) }})
{%- endmacro %}
