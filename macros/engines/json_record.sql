{# A line of JSON as a struct of raw JSON texts, so that a value keeps the type it was logged
   with: a typed parse reads 200.7 as 201, true as 1 and "12.5" as 12.5 without a word.
   Null where the line is not JSON. #}
{% macro json_record(line, shape) %}
    {{- return(adapter.dispatch('json_record', 'ml_monitoring')(line, shape)) -}}
{% endmacro %}

{% macro default__json_record(line, shape) -%}
    json_transform(
        case when json_valid({{ line }}) then {{ line }} end,
        {{ ml_monitoring.text_literal(tojson(shape)) }}
    )
{%- endmacro %}


{# The number that a raw JSON text holds, NaN and infinities included; null where it holds
   something else. #}
{% macro json_number(raw) -%}
    try_cast({{ raw }}::varchar as double)
{%- endmacro %}


{# The text that a raw JSON text holds; null where it holds something else. #}
{% macro json_text(raw) -%}
    case
        when not starts_with({{ raw }}::varchar, '"') then null
        when contains({{ raw }}::varchar, '\') then {{ raw }} ->> '$'
        else ({{ raw }}::varchar)[2:-2]
    end
{%- endmacro %}


{# Text, a number or a boolean as text; null for an object or an array. #}
{% macro json_category(raw) -%}
    case
        when starts_with({{ raw }}::varchar, '"') then {{ ml_monitoring.json_text(raw) }}
        when not starts_with({{ raw }}::varchar, '{') and not starts_with({{ raw }}::varchar, '[')
            then {{ raw }}::varchar
    end
{%- endmacro %}


{# An RFC 3339 instant as a UTC timestamp, else null; of the year 2000 or later, if not of other
   `years`. The cast alone
   takes 'infinity', 'epoch', bare dates and 24:00. #}
{% macro rfc3339_timestamp(text, years='[2-9][0-9]{3}') -%}
    case
        when regexp_full_match({{ text }}, {{ ml_monitoring.text_literal(ml_monitoring.rfc3339_pattern(years)) }})
            then try_cast(upper({{ text }}) as timestamptz) at time zone 'UTC'
    end
{%- endmacro %}

{% macro rfc3339_pattern(years) %}
    {{- return(
        years ~ '-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])'
        ~ '[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]+)?'
        ~ '([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])'
    ) -}}
{% endmacro %}


{# Whether no member of a struct has a value. #}
{% macro is_empty_struct(struct, members) -%}
    coalesce(
        {%- for member in members %} {{ struct }}.{{ adapter.quote(member) }}, {%- endfor %} null
    ) is null
{%- endmacro %}


{# Whether a line of JSON has a value other than an object or null under a name. #}
{% macro is_other_than_object(line, name) -%}
    coalesce(
        json_type(case when json_valid({{ line }}) then {{ line }} end, '$.{{ name }}'), 'NULL'
    ) not in ('NULL', 'OBJECT')
{%- endmacro %}
