{# The members of an object of JSON text, as rows: a list of structs of `name` and `value`, both in
   the order of the text. Any object will do: names with quotes, a name twice. #}
{% macro json_members(text) -%}
    list_transform(
        list_zip(json_keys({{ text }}), json_extract({{ text }}, '$.*')),
        lambda member: struct_pack(name := member[1], value := member[2])
    )
{%- endmacro %}


{# How many names of a model and hour are kept apart; those that were seen less often are together
   in `(other)`. A service that logs an id as a name must not flood the summary. #}
{% macro most_names() %}{{ return(50) }}{% endmacro %}
