{# Recompute what changed. `wanted` is a relation with one row for each key that a summary
   should hold, and its revision: a fingerprint of what the key is made from. The summary stores
   the revision with its rows. Before it is built, rows whose revision is not the wanted one are
   deleted; then the keys that it lacks are built. So a late file, a removed one or a killed run
   needs no special case, and a key that vanished takes its rows with it. #}

{# Raise this when a macro or a Python function that summaries call gets another meaning: dbt shows
   a model its own text only. #}
{% macro summary_version() %}{{ return(13) }}{% endmacro %}


{# The revision of a key in this model: of its data, of the configuration and of the model. A
   model that is made with some of the settings names them in `meta: {settings: [...]}`. #}
{% macro revision_of(revision) %}
    {%- set used = {} -%}
    {%- for name in model.config.get('meta', {}).get('settings', []) -%}
        {%- do used.update({name: ml_monitoring.settings()[name]}) -%}
    {%- endfor -%}
    {%- set definition = local_md5(
        ml_monitoring.summary_version() ~ model.raw_code ~ tojson(used, sort_keys=true)
        ~ tojson(ml_monitoring.monitored_models(), sort_keys=true)
    ) -%}
    {{- return(ml_monitoring.hash64([revision, "'" ~ definition ~ "'"])) -}}
{% endmacro %}


{# Pre-hook: delete what is stale. Where the revision is final, the SQL model that wants the keys
   has put its definition in, and it is stored as it is: so for Python models, whose body Jinja
   does not reach. #}
{% macro forget_stale(wanted, keys, is_final=false) %}
    {% set is_final = is_final or model.language == 'python' %}
    {% if is_incremental() %}
        delete from {{ this }} as held
        where not exists (
            select 1
            from {{ wanted }} as wanted
            where
                {%- for key in keys %}
                wanted.{{ key }} = held.{{ key }} and
                {%- endfor %}
                {{ 'wanted.revision' if is_final else ml_monitoring.revision_of('wanted.revision') }}
                = held.revision
        )
        and {{ ml_monitoring.is_open('held') }}
        {%- if ml_monitoring.kept_since(ml_monitoring.retention_of('kind')) %}
        or not {{ ml_monitoring.is_kept(
            ml_monitoring.retention_of('key') | replace('rows.', 'held.'),
            ml_monitoring.retention_of('kind')) }}
        {%- endif %}
    {% endif %}
{% endmacro %}


{# The keys to build, with their revisions. #}
{% macro stale_keys(wanted, keys) %}
    select
        {{ keys | join(', ') }},
        {{ ml_monitoring.revision_of('wanted.revision') }} as revision
    from {{ wanted }} as wanted
    where
        {{ ml_monitoring.is_to_build('wanted') }}
        {%- if is_incremental() %}
        and not exists (
            select 1
            from {{ this }} as held
            where
                {%- for key in keys %}
                wanted.{{ key }} = held.{{ key }} {{ 'and' if not loop.last }}
                {%- endfor %}
        )
        {%- endif %}
{% endmacro %}


{# A condition that a column holds one of the keys to build: they are found before, so that only
   their rows are read. With `around` also the dates so many days before and after. #}
{% macro is_stale(column, wanted, key, around=0) %}
    {%- set query -%}
    {% if is_incremental() %}
        select wanted.{{ key }}
            {%- if around %} + unnest(range(-{{ around }}, {{ around + 1 }}))::integer {%- endif %}
        from {{ wanted }} as wanted
        where {{ ml_monitoring.is_to_build('wanted') }} and not exists (
            select 1
            from {{ this }} as held
            where
                wanted.{{ key }} = held.{{ key }}
                and {{ ml_monitoring.revision_of('wanted.revision') }} = held.revision
        )
    {% endif %}
    {%- endset -%}
    {{- return(ml_monitoring.is_one_of(column, query | trim)) -}}
{% endmacro %}
