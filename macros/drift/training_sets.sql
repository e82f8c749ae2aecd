{# Baselines from the data that a model was trained on: a relation or a Parquet file with a column
   for each feature. It is read once, and kept in int_training_sets. #}

{# The training set of a baseline as SQL; none where the baseline is made from days. #}
{% macro training_source(baseline) %}
    {% if 'path' in baseline %}
        {{ return('read_parquet(' ~ ml_monitoring.text_literal(baseline.path)
            ~ ', union_by_name = true, hive_partitioning = false)') }}
    {% elif 'relation' in baseline %}
        {{ return(ml_monitoring.relation_of(baseline.relation) | string) }}
    {% endif %}
    {{ return(none) }}
{% endmacro %}


{# The sets to read in this run: those of which a feature or a slice is not held yet. For each its
   model, where it is, its columns and of how many rows one makes the edges. #}
{% macro training_sets_to_read(held) %}
    {% set sets = [] %}
    {% for monitored in ml_monitoring.monitored_models()
          if execute and ml_monitoring.training_source(monitored.baseline) %}
        {% set version = local_md5(monitored.baseline_definition)[:8] %}
        {% set known = [] %}
        {% if held %}
            {% for row in run_query(
                'select distinct feature, feature_type, slice_key from ' ~ held
                ~ ' where model_name = ' ~ ml_monitoring.text_literal(monitored.name)
                ~ " and baseline_version = '" ~ version ~ "'").rows %}
                {% do known.append([row[0], row[1], row[2]]) %}
            {% endfor %}
        {% endif %}
        {% set lacking = [] %}
        {% for feature in ml_monitoring.drift_features(monitored) %}
            {% for slice_key in ['all'] + monitored.slices | map(attribute='name') | list
                  if [feature.name, feature.type, slice_key] not in known %}
                {% do lacking.append(feature.name) %}
            {% endfor %}
        {% endfor %}
        {% if lacking %}
            {% do sets.append({
                'model': monitored,
                'version': version,
                'source': ml_monitoring.training_source(monitored.baseline),
                'columns': ml_monitoring.training_columns(monitored),
            }) %}
            {% do sets[-1].update(ml_monitoring.training_size(monitored, sets[-1].columns)) %}
        {% endif %}
    {% endfor %}
    {{ return(sets) }}
{% endmacro %}


{# The columns of a training set by their names in lower case, once it is known to be there and to
   have one for each feature. #}
{% macro training_columns(monitored) %}
    {% set baseline = monitored.baseline %}
    {% set where = 'of the model `' ~ monitored.name ~ '` has the baseline ' ~ baseline ~ '; ' %}
    {% set cure = "baseline: {path: data/training/" ~ monitored.name
        ~ ".parquet}   # or {relation: schema.table}; a column for each feature" %}
    {% if 'path' in baseline %}
        {% set is_there = run_query('select count(*) from glob('
            ~ ml_monitoring.text_literal(baseline.path) ~ ')').columns[0][0] %}
        {% set missing = 'no such file. A relative path is one from the folder that dbt runs in' %}
    {% else %}
        {% set is_there = adapter.get_columns_in_relation(
            ml_monitoring.relation_of(baseline.relation)) %}
        {% set missing = 'there is no such relation in the database. It must stand before the build' %}
    {% endif %}
    {% if not is_there %}
        {% do ml_monitoring.config_error('monitored_models', where ~ missing
            ~ ", for the set is read in the first build, and when a feature or slice is new."
            ~ " Put it there, or give another baseline.", cure) %}
    {% endif %}
    {% set columns = {} %}
    {% for row in run_query(
        'describe select * from ' ~ ml_monitoring.training_source(baseline)).rows %}
        {% do columns.update({row[0] | lower: {'name': row[0], 'type': row[1] | upper}}) %}
    {% endfor %}
    {% set lacking = [] %}
    {% for feature in monitored.features if feature.name | lower not in columns %}
        {% do lacking.append('`' ~ feature.name ~ '`') %}
    {% endfor %}
    {% if lacking %}
        {% do ml_monitoring.config_error('monitored_models', where
            ~ 'the set has no column for the declared ' ~ ('feature ' if lacking | length == 1
            else 'features ') ~ lacking | join(', ') ~ '. Add it there under this name, all null if'
            ~ ' it was not trained on, or take it out of `features`.', cure) %}
    {% endif %}
    {{ return(columns) }}
{% endmacro %}


{# Of how many rows of a training set one makes the edges, which come from one to two million; and
   whether it has days: a `ts` in each row, all within ten years. #}
{% macro training_size(monitored, columns) %}
    {% set day = ml_monitoring.training_day(columns.get('ts')) %}
    {% set found = run_query(
        'select count(*), count(*) = count(' ~ day ~ ') and max(' ~ day ~ ') - min(' ~ day ~ ')'
        ~ ' < 3660 from ' ~ ml_monitoring.training_source(monitored.baseline)).rows[0] %}
    {% set count = found[0] | int %}
    {% if not count %}
        {% do ml_monitoring.config_error('monitored_models', 'of the model `' ~ monitored.name
            ~ '` has the baseline ' ~ monitored.baseline ~ '; the set has no rows. Fill it before'
            ~ ' the build, for it is frozen when it is read first.',
            'baseline: {path: data/training/' ~ monitored.name ~ '.parquet}') %}
    {% endif %}
    {{ return({'sampling': [1, count // 1000000] | max, 'is_dated': found[1] or false}) }}
{% endmacro %}


{# The day (UTC) of a row of a training set, by its column `ts`. #}
{% macro training_day(column) -%}
    {%- if not column -%} {{ return('null::date') }} {%- endif -%}
    {%- set value = adapter.quote(column.name) -%}
    {%- if column.type.startswith('TIMESTAMP WITH TIME ZONE') -%}
        {%- set value = '(' ~ value ~ " at time zone 'UTC')::date" -%}
    {%- elif column.type.startswith(('TIMESTAMP', 'DATE')) -%}
        {%- set value = value ~ '::date' -%}
    {%- else -%}
        {%- set value = '(try_cast(' ~ value ~ "::varchar as timestamptz) at time zone 'UTC')::date" -%}
    {%- endif -%}
    {{- return('case when isfinite(' ~ value ~ ') then ' ~ value ~ ' end') -}}
{%- endmacro %}


{# A training set with the structs of stg_inference_events. What a model does not declare, and what
   the set has no column for, is null. #}
{% macro training_predictions(training_set) -%}
    {%- set monitored = training_set.model -%}
    {%- set columns = training_set.columns -%}
    {%- set kinds = {} -%}
    {%- for feature in monitored.features -%}
        {#- A training set holds the ages of timestamps. -#}
        {%- do kinds.update({
            feature.name: 'numerical' if feature.type == 'timestamp' else feature.type
        }) -%}
    {%- endfor -%}
    {%- set score = ml_monitoring.training_value(columns.get('score'), 'numerical') -%}
    select
        {{ ml_monitoring.text_literal(monitored.name) }} as model_name,
        {{ ml_monitoring.training_day(columns.get('ts')) if training_set.is_dated else 'null::date' }}
            as event_date,
        {%- for struct, members in ml_monitoring.event_structs().items() %}
        struct_pack(
            {%- for name in members %}
            {%- set kind = 'numerical' if struct == 'numerical_features'
                else 'categorical' if struct == 'attributes'
                else kinds.get(name) if kinds.get(name) != 'numerical' %}
            {%- set is_declared = struct == 'attributes' or (kinds.get(name) and kind
                and (kinds[name] == 'numerical') == (kind == 'numerical')) %}
            {{ adapter.quote(name) }} := {{ ml_monitoring.training_value(
                columns.get(name | lower) if is_declared, kind or 'categorical') }}
            {{- ',' if not loop.last }}
            {%- else %}
            "(none)" := null::varchar
            {%- endfor %}
        ) as {{ struct }},
        {%- endfor %}
        case
            when {{ 'isfinite(' ~ score ~ ')' if monitored.task == 'regression'
                else score ~ ' between 0 and 1' }} then {{ score }}
        end as score,
        {{ ml_monitoring.training_value(columns.get('prediction'), 'class') }} as prediction,
        {{ 'row_number() over ()' if training_set.sampling > 1 else '0' }} as row_number
    from {{ training_set.source }}
{%- endmacro %}


{# A column of a training set as a value of a kind of feature: null for what an event that holds the
   same counts as of the wrong type. Numbers and booleans may be written as text. #}
{% macro training_value(column, kind) -%}
    {%- set none_of_it = 'null::double' if kind == 'numerical' else 'null::varchar' -%}
    {%- if not column -%} {{ return(none_of_it) }} {%- endif -%}
    {%- set value = adapter.quote(column.name) -%}
    {%- set is_number = modules.re.match(
        '^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*)$', column.type) -%}
    {%- if kind == 'numerical' -%}
        {{- return(value ~ '::double' if is_number
            else 'try_cast(' ~ value ~ '::varchar as double)') -}}
    {%- elif kind == 'boolean' -%}
        {{- return('case when lower(' ~ value ~ "::varchar) in ('true', 'false') then lower("
            ~ value ~ '::varchar) end') -}}
    {%- elif kind == 'class' and is_number -%}
        {{- return(ml_monitoring.class_name('(' ~ value ~ '::double)')) -}}
    {%- elif modules.re.search('\\]$|^(STRUCT|MAP|UNION|BLOB)', column.type)
          or kind == 'class' and column.type == 'BOOLEAN' -%}
        {{- return(none_of_it) -}}
    {%- endif -%}
    {{- return(value ~ '::varchar') -}}
{%- endmacro %}


{# What is known of each training set as a whole: how many rows it had when it was read first, and
   whether it has the outputs of the model, all of them. #}
{% macro known_training_sets() -%}
    select
        model_name,
        baseline_version,
        any_value(scored_version) as scored_version,
        arg_min(prediction_count, read_at) as prediction_count,
        bool_and(null_count < prediction_count) filter (where is_output) as has_outputs
    from {{ ref('int_training_sets') }}
    where slice_key = 'all' and event_date is null
    group by model_name, baseline_version
{%- endmacro %}
