{# The other vars, one macro each: checked, with their defaults. #}

{# A moment as 'YYYY-MM-DD HH:MM:SS' in UTC, or none where `value` is no date or time. A time
   without a zone is UTC. #}
{% macro parse_moment(value) %}
    {% set pattern = '^\\d{4}-\\d{2}-\\d{2}([T ]\\d{2}:\\d{2}(:\\d{2}(\\.\\d{1,6})?)?(Z|[+-]\\d{2}:\\d{2})?)?$' %}
    {% set text = value | string | upper | trim %}
    {% if not modules.re.match(pattern, text) %}
        {{ return(none) }}
    {% endif %}
    {% set parts = modules.re.match('^(\\d{4})-(\\d{2})-(\\d{2})(?:[T ](\\d{2}):(\\d{2})(?::(\\d{2}))?)?', text).groups() %}
    {% set year, month, day, hour, minute, second = (parts[0] | int, parts[1] | int,
        parts[2] | int, (parts[3] or 0) | int, (parts[4] or 0) | int, (parts[5] or 0) | int) %}
    {% set lengths = [31, 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28,
                      31, 30, 31, 30, 31, 31, 30, 31, 30, 31] %}
    {% if year < 1970 or not 1 <= month <= 12 or not 1 <= day <= lengths[month - 1]
          or hour > 23 or minute > 59 or second > 59 %}
        {{ return(none) }}
    {% endif %}
    {% set moment = modules.datetime.datetime(year, month, day, hour, minute, second) %}
    {% set offset = modules.re.search('([+-])(\\d{2}):(\\d{2})$', text) %}
    {% if offset and ':' in text[:-6] %}
        {% set minutes = (offset.group(2) | int) * 60 + (offset.group(3) | int) %}
        {% set shift = modules.datetime.timedelta(minutes=minutes) %}
        {% set moment = moment - shift if offset.group(1) == '+' else moment + shift %}
    {% endif %}
    {{ return(moment.strftime('%Y-%m-%d %H:%M:%S')) }}
{% endmacro %}


{# The variable of the environment goes before the var: where `--vars` are not those of the run
   before, dbt parses the whole project anew. What parsing does not ask for can differ at no cost. #}
{% macro as_of() %}
    {% set given = (env_var('ML_MONITORING_AS_OF', '') if execute else '') or var('as_of', none) %}
    {# dbt_project.yml gives no text at all inside another project. #}
    {% if given is none or given == '' %}
        {{ return(run_started_at.strftime('%Y-%m-%d %H:%M:%S')) }}
    {% endif %}
    {% set moment = ml_monitoring.parse_moment(given) %}
    {% if moment is none %}
        {% do ml_monitoring.config_error('as_of', 'is `' ~ given ~ '`, which is no moment.',
            'as_of: null   # the start of the build; or "2024-01-31", "2024-01-31T18:05:00Z"') %}
    {% endif %}
    {{ return(moment) }}
{% endmacro %}


{# What is dated later than this is held back. #}
{% macro held_after() %}
    {% set moment = modules.datetime.datetime.strptime(ml_monitoring.as_of(), '%Y-%m-%d %H:%M:%S') %}
    {% set skew = modules.datetime.timedelta(minutes=ml_monitoring.max_clock_skew_minutes()) %}
    {{ return((moment + skew).strftime('%Y-%m-%d %H:%M:%S')) }}
{% endmacro %}


{% macro max_clock_skew_minutes() %}
    {{ return(ml_monitoring.whole_number_var('max_clock_skew_minutes', 60, 0)) }}
{% endmacro %}


{% macro streaming_lookback_minutes() %}
    {{ return(ml_monitoring.whole_number_var('streaming_lookback_minutes', 60, 1)) }}
{% endmacro %}


{% macro whole_number_var(name, default, least) %}
    {% set value = var(name, default) %}
    {% if value is not integer or value is sameas true or value is sameas false or value < least %}
        {% do ml_monitoring.config_error(name, 'is `' ~ value ~ '`; it must be a whole number from '
            ~ least ~ '.', name ~ ': ' ~ default) %}
    {% endif %}
    {{ return(value) }}
{% endmacro %}


{% macro windows_days(name, default) %}
    {% set given = var(name, default) %}
    {% set example = name ~ ': ' ~ default %}
    {% if given is string or given is mapping or given is not iterable or given | length == 0 %}
        {% do ml_monitoring.config_error(name, 'is `' ~ given ~ '`; it must be a list of days.',
            example) %}
    {% endif %}
    {% for days in given %}
        {% if days is not integer or days is sameas true or days < 1 or days > 366 %}
            {% do ml_monitoring.config_error(name, 'holds `' ~ days
                ~ '`; each must be a whole number of days from 1 to 366.', example) %}
        {% endif %}
    {% endfor %}
    {{ return(given | unique | sort | list) }}
{% endmacro %}


{% macro performance_windows_days() %}
    {{ return(ml_monitoring.windows_days('performance_windows_days', [1, 7, 14, 28, 30])) }}
{% endmacro %}


{% macro number_var(name, default, low, high) %}
    {% set value = var(name, default) %}
    {% if value is not number or value is sameas true or value is sameas false
          or not low < value < high %}
        {% do ml_monitoring.config_error(name, 'is `' ~ value ~ '`; it must be a number between '
            ~ low ~ ' and ' ~ high ~ '.', name ~ ': ' ~ default) %}
    {% endif %}
    {{ return(value) }}
{% endmacro %}


{# What the statistics are computed with. The Python models read it from int_settings. #}
{% macro settings() %}
    {% set settings = {
        'drift_windows_days': ml_monitoring.windows_days('drift_windows_days', [1, 7]),
        'performance_windows_days': ml_monitoring.performance_windows_days(),
        'baseline_grace_days': ml_monitoring.whole_number_var('baseline_grace_days', 1, 0),
        'version_baseline_days': ml_monitoring.whole_number_var('version_baseline_days', 14, 1),
        'drift_bins': ml_monitoring.whole_number_var('drift_bins', 200, 10),
        'multivariate_drift': ml_monitoring.boolean_var('multivariate_drift', true),
        'psi_floor': ml_monitoring.number_var('psi_floor', 0.000001, 0, 0.01),
        'psi_moderate': ml_monitoring.number_var('psi_moderate', 0.1, 0, 100),
        'psi_significant': ml_monitoring.number_var('psi_significant', 0.25, 0, 100),
        'calibration_bins': ml_monitoring.whole_number_var('calibration_bins', 10, 2),
        'min_samples': ml_monitoring.whole_number_var('min_samples', 50, 1),
        'min_samples_per_class': ml_monitoring.whole_number_var('min_samples_per_class', 10, 1),
        'estimation_reference_days':
            ml_monitoring.whole_number_var('estimation_reference_days', 28, 1),
        'burn_min_bad_requests': ml_monitoring.whole_number_var('burn_min_bad_requests', 5, 1),
        'launch_alpha': ml_monitoring.number_var('launch_alpha', 0.05, 0, 0.5),
        'retraining_cooldown_days':
            ml_monitoring.whole_number_var('retraining_cooldown_days', 14, 0),
        'retraining_window_days': ml_monitoring.whole_number_var('retraining_window_days', 60, 1),
    } %}
    {% if settings.psi_moderate > settings.psi_significant %}
        {% do ml_monitoring.config_error('psi_moderate', 'is `' ~ settings.psi_moderate
            ~ '`, above psi_significant, `' ~ settings.psi_significant ~ '`.',
            'psi_moderate: 0.1\npsi_significant: 0.25') %}
    {% endif %}
    {{ return(settings) }}
{% endmacro %}


{# The settings as the columns of a select list. #}
{% macro settings_columns() %}
    {%- for name, value in ml_monitoring.settings().items() %}
    {{ value }}{{ '::double' if value is float }} as {{ name }}{{ ',' if not loop.last }}
    {%- endfor %}
{% endmacro %}


{# For how many days each kind of data is kept (macros/retention/kept_since.sql); none: for ever. #}
{% macro retention_days() %}
    {% set windows = ml_monitoring.settings().drift_windows_days
        + ml_monitoring.settings().performance_windows_days %}
    {% set longest = (windows + ml_monitoring.custom_metrics()
        | map(attribute='windows_days') | sum(start=[])) | max %}
    {% set days = {} %}
    {% for kind, name, least, why in [
        ('raw', 'raw_retention_days', 2 * longest,
            'twice the longest window, so that late labels still count in it'),
        ('minutes', 'minute_retention_days', 2, 'two days, so that yesterday is whole'),
        ('windows', 'summary_retention_days', [2 * longest, 62] | max,
            'two months, and twice the longest window: metrics are compared with the month before'),
    ] %}
        {% set given = var(name, none) %}
        {% if given is not none and (given is not integer or given is sameas true
              or given is sameas false or given < least) %}
            {% do ml_monitoring.config_error(name, 'is `' ~ given ~ '`; it must be null or a whole'
                ~ ' number of days from ' ~ least ~ ' (' ~ why ~ ').',
                name ~ ': null   # for ever; or ' ~ [least, 90] | max) %}
        {% endif %}
        {% do days.update({kind: given}) %}
    {% endfor %}
    {% set before = [longest, ml_monitoring.settings().estimation_reference_days] | max %}
    {% do days.update({'days': days.windows + longest + before if days.windows else none}) %}
    {{ return(days) }}
{% endmacro %}


{% macro landing_path() %}
    {% set given = var('landing_path', 'data/landing') %}
    {% if given is not string or given | trim == '' or modules.re.search('[\\x00-\\x1f]', given) %}
        {% do ml_monitoring.config_error('landing_path', 'is `' ~ given
            ~ '`; it must be the path of a folder, without control characters.',
            'landing_path: data/landing') %}
    {% endif %}
    {{ return(given.rstrip('/')) }}
{% endmacro %}


{# A relation of the user's; none where the var is not set. "ref('model')", of the project that this one
   is a package of, or "source('name', 'table')": then dbt builds it first. #}
{% macro relation_var(name) %}
    {% set given = var(name, none) %}
    {% if given is none %}
        {{ return(none) }}
    {% endif %}
    {% set call = modules.re.fullmatch("(ref|source)\\(('([^']+)', *)?'([^']+)'\\)", given | string) %}
    {# Hooks only ask whether there is one, and may not refer to it. #}
    {% if call and model.resource_type == 'operation' %}
        {{ return(api.Relation.create(identifier=call.group(4))) }}
    {% elif call and call.group(1) == 'ref' %}
        {{ return(ref(call.group(3) or project_name, call.group(4))) }}
    {% elif call %}
        {{ return(source(call.group(3), call.group(4))) }}
    {% endif %}
    {% set relation = ml_monitoring.relation_of(given) %}
    {% if not relation %}
        {% do ml_monitoring.config_error(name, 'is `' ~ given
            ~ '`; it must name a relation, without quotation marks, backslashes or control'
            ~ ' characters.', name ~ ": my_schema.my_table # or ref('my_model')") %}
    {% endif %}
    {{ return(relation) }}
{% endmacro %}


{# A relation by its name, schema.table; none where that is no name. dbt puts quotes around the
   parts without a look at what is in them. #}
{% macro relation_of(given) %}
    {% set parts = given.split('.') if given is string else [] %}
    {% if not 1 <= parts | length <= 3 or '' in parts
          or modules.re.search('["\'`\\\\\\x00-\\x1f\\x7f]', given) %}
        {{ return(none) }}
    {% endif %}
    {{ return(api.Relation.create(
        database=parts[-3] if parts | length == 3 else none,
        schema=parts[-2] if parts | length >= 2 else target.schema,
        identifier=parts[-1],
    )) }}
{% endmacro %}


{# Whether the public tables are also published to a file of their own. #}
{% macro is_publishing() %}
    {{ return(ml_monitoring.boolean_var('publish', true)) }}
{% endmacro %}


{% macro boolean_var(name, default) %}
    {% set given = var(name, default) %}
    {% if given is not sameas true and given is not sameas false %}
        {% do ml_monitoring.config_error(name, 'is `' ~ given
            ~ '`; it must be true or false.', name ~ ': ' ~ default | lower) %}
    {% endif %}
    {{ return(given) }}
{% endmacro %}
