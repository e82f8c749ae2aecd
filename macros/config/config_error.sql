{# A text from outside on one line of the terminal: what ends a line, steers the terminal or turns
   the direction of writing becomes a space. #}
{% macro on_one_line(value) %}
    {% set text = modules.re.sub(
        '[\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff]+', ' ',
        value | string) %}
    {{ return(text if text | length <= 1000 else text[:999] ~ '…') }}
{% endmacro %}


{# Stop with what is wrong with a var and a right example. #}
{% macro config_error(var_name, problem, example) %}
    {{ exceptions.raise_compiler_error(
        "\n\n  The var `" ~ var_name ~ "` " ~ problem
        ~ "\n\n  A right example, in dbt_project.yml:\n\n    vars:\n      "
        ~ example | trim | indent(6) ~ "\n"
    ) }}
{% endmacro %}
