{# Stop with what is wrong with a var and a right example. #}
{% macro config_error(var_name, problem, example) %}
    {{ exceptions.raise_compiler_error(
        "\n\n  The var `" ~ var_name ~ "` " ~ problem
        ~ "\n\n  A right example, in dbt_project.yml:\n\n    vars:\n      "
        ~ example | trim | indent(6) ~ "\n"
    ) }}
{% endmacro %}
