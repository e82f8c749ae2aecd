{# The metrics that users define, as validated, with every default filled in: `models` are the
   names of those that it is of. Whether the expression is sound, DuckDB has to say: see
   check_custom_expressions(). #}
{% macro custom_metrics() %}
    {% set given = var('custom_metrics', []) %}
    {% if given is string or given is mapping or given is not iterable %}
        {% do ml_monitoring.config_error('custom_metrics', 'is `' ~ given
            ~ '`; it must be a list, [] where there are none.',
            ml_monitoring.custom_metric_example()) %}
    {% endif %}
    {% set metrics = [] %}
    {% set seen = [] %}
    {% for metric in given %}
        {% set where = 'has the metric `' ~ metric.name ~ '` '
            if metric is mapping and metric.get('name') is string
            else 'has an entry (number ' ~ loop.index ~ ') ' %}
        {% do ml_monitoring.validate_custom_metric(metric, where, seen) %}
        {% do seen.append(metric.name | lower) %}
        {% set names = [] %}
        {% for monitored in ml_monitoring.monitored_models() %}
            {% if monitored.name == metric.get('model') or metric.get('model') is none
                  and (metric.get('over', 'events') == 'events'
                       or monitored.task != 'multiclass_classification') %}
                {% do names.append(monitored.name) %}
            {% endif %}
        {% endfor %}
        {% do metrics.append({
            'name': metric.name,
            'models': names,
            'expression': metric.expression | trim,
            'over': metric.get('over', 'events'),
            'slices': metric.get('slices', []),
            'windows_days': metric.get('windows_days', [1]) | unique | sort | list,
            'attributes': metric.get('attributes', []),
            'better': metric.get('better', 'none'),
        }) %}
    {% endfor %}
    {{ return(metrics) }}
{% endmacro %}


{% macro custom_metric_example() %}
    {{ return('custom_metrics:\n  - name: high_score_share\n    model: churn\n'
        ~ '    expression: "count(*) filter (where score > 0.8) / count(*)"\n'
        ~ '    over: events # or labels\n    slices: [country]\n    windows_days: [1, 7]\n'
        ~ '    better: lower') }}
{% endmacro %}


{% macro validate_custom_metric(metric, where, seen) %}
    {% set example = ml_monitoring.custom_metric_example() %}
    {% set known = ['name', 'model', 'expression', 'over', 'slices', 'windows_days', 'attributes',
                    'better'] %}
    {% if metric is not mapping or metric.get('name') is not string %}
        {% do ml_monitoring.config_error('custom_metrics', where ~ 'without a `name` that is text.',
            example) %}
    {% endif %}
    {% for key in metric if key not in known %}
        {% do ml_monitoring.config_error('custom_metrics', where ~ 'with the unknown key `' ~ key
            ~ '`; known are ' ~ known | join(', ') ~ '.', example) %}
    {% endfor %}
    {% if not modules.re.fullmatch('[a-z][a-z0-9_]{0,62}', metric.name) %}
        {% do ml_monitoring.config_error('custom_metrics', where ~ 'whose name is no plain'
            ~ ' identifier: up to 63 small letters, digits and underscores, a letter first.',
            example) %}
    {% endif %}
    {% if metric.name in ml_monitoring.built_in_metric_names() %}
        {% do ml_monitoring.config_error('custom_metrics', where ~ 'whose name is taken: it is that'
            ~ ' of a built-in metric. Give it another.', example) %}
    {% endif %}
    {% if metric.name in seen %}
        {% do ml_monitoring.config_error('custom_metrics', where ~ 'twice. Give each a name of its'
            ~ ' own.', example) %}
    {% endif %}
    {% if metric.get('expression') is not string or not metric.expression | trim %}
        {% do ml_monitoring.config_error('custom_metrics', where ~ 'without an `expression`: text'
            ~ ' with an aggregate in SQL.', example) %}
    {% endif %}
    {% for key, values in [('over', ['events', 'labels']), ('better', ['higher', 'lower', 'none'])] %}
        {% if key in metric and metric[key] not in values %}
            {% do ml_monitoring.config_error('custom_metrics', where ~ 'with ' ~ key ~ ' `'
                ~ metric[key] ~ '`; it must be one of ' ~ values | join(', ') ~ '.', example) %}
        {% endif %}
    {% endfor %}
    {% set attributes = metric.get('attributes', []) %}
    {% if attributes is string or attributes is mapping or attributes is not iterable %}
        {% do ml_monitoring.config_error('custom_metrics', where ~ 'with attributes `' ~ attributes
            ~ '`; it must be a list of names.', example) %}
    {% endif %}
    {% for name in attributes %}
        {% do ml_monitoring.validate_field_name(name, where ~ 'with an attribute', example,
                                                'custom_metrics') %}
        {% for monitored in ml_monitoring.monitored_models() %}
            {% for slice in monitored.slices if slice.name | lower == name | lower
                  and slice.name != name and not slice.is_feature %}
                {% do ml_monitoring.config_error('custom_metrics', where ~ 'with the attribute `'
                    ~ name ~ '`, which is spelled `' ~ slice.name ~ '` elsewhere. Log and declare'
                    ~ ' it in one way.', example) %}
            {% endfor %}
        {% endfor %}
    {% endfor %}
    {% do ml_monitoring.validate_custom_scope(metric, where, example) %}
{% endmacro %}


{# The model, slices and windows of a metric. #}
{% macro validate_custom_scope(metric, where, example) %}
    {% set over_labels = metric.get('over', 'events') == 'labels' %}
    {% set models = ml_monitoring.monitored_models() %}
    {% set name = metric.get('model') %}
    {% if name is not none %}
        {% set models = models | selectattr('name', 'equalto', name) | list %}
        {% if not models %}
            {% do ml_monitoring.config_error('custom_metrics', where ~ 'of the model `' ~ name
                ~ '`, which is none of the monitored models.', example) %}
        {% endif %}
    {% endif %}
    {% if over_labels and not (models | rejectattr('task', 'equalto', 'multiclass_classification')
          | list) %}
        {% do ml_monitoring.config_error('custom_metrics', where ~ 'over labels of a model of more'
            ~ ' than two classes; `label` is a number, which these do not have.'
            ~ ' Use over: events, or a model of another task.', example) %}
    {% endif %}

    {% set slices = metric.get('slices', []) %}
    {% if slices is string or slices is mapping or slices is not iterable %}
        {% do ml_monitoring.config_error('custom_metrics', where ~ 'with slices `' ~ slices
            ~ '`; it must be a list of names.', example) %}
    {% endif %}
    {% for slice in slices %}
        {% set of_models = [] %}
        {% for monitored in models if slice in monitored.slices | map(attribute='name') %}
            {% do of_models.append(monitored.name) %}
        {% endfor %}
        {% if not of_models or slice in slices[:loop.index0] %}
            {% do ml_monitoring.config_error('custom_metrics', where ~ 'with the slice `' ~ slice
                ~ '`, which is ' ~ ('there twice' if of_models else 'none of the slices of '
                    ~ ('its model' if name is not none else 'any model')) ~ '.', example) %}
        {% endif %}
    {% endfor %}

    {% set windows = metric.get('windows_days', [1]) %}
    {% set sizes = ml_monitoring.performance_windows_days() %}
    {% if windows is string or windows is mapping or windows is not iterable or not windows %}
        {% do ml_monitoring.config_error('custom_metrics', where ~ 'with windows_days `' ~ windows
            ~ '`; it must be a list of days.', example) %}
    {% endif %}
    {% for days in windows %}
        {% if days is not integer or days is sameas true or not 1 <= days <= 366 %}
            {% do ml_monitoring.config_error('custom_metrics', where ~ 'with windows_days that hold `'
                ~ days ~ '`; each must be a whole number of days from 1 to 366.', example) %}
        {% endif %}
        {% if over_labels and days not in sizes %}
            {% do ml_monitoring.config_error('custom_metrics', where ~ 'over labels with a window of '
                ~ days ~ ' days, for which there is no label coverage. Use those of'
                ~ ' performance_windows_days (' ~ sizes | join(', ') ~ '), or add it there.',
                'performance_windows_days: ' ~ (sizes + [days]) | sort) %}
        {% endif %}
    {% endfor %}
{% endmacro %}


{# The columns that an expression may use: the type of each in SQL. A struct holds the names of
   all models together. #}
{% macro custom_metric_columns(over) %}
    {% set structs = ml_monitoring.event_structs() %}
    {% set columns = {
        'request_id': 'varchar', 'ts': 'timestamp', 'model_version': 'varchar', 'role': 'varchar',
        'status': 'smallint', 'latency_ms': 'double', 'inference_time_ms': 'double',
        'score': 'double', 'prediction': 'varchar',
    } %}
    {% for struct, type in [('numerical_features', 'double'), ('categorical_features', 'varchar'),
                            ('attributes', 'varchar')] %}
        {% set fields = [] %}
        {% for name in structs[struct] or ['(none)'] %}
            {% do fields.append('"' ~ name ~ '" ' ~ type) %}
        {% endfor %}
        {% do columns.update({struct: 'struct(' ~ fields | join(', ') ~ ')'}) %}
    {% endfor %}
    {% if over == 'labels' %}
        {% do columns.update({'label': 'double'}) %}
    {% endif %}
    {{ return(columns) }}
{% endmacro %}


{# Ask DuckDB, at the start of a run, whether each expression is an aggregate of these columns. #}
{% macro check_custom_expressions() %}
    {% for metric in ml_monitoring.custom_metrics() %}
        {% set problem = run_query('select custom_metric_problem('
            ~ ml_monitoring.text_literal(metric.expression) ~ ', '
            ~ ml_monitoring.text_literal(tojson(ml_monitoring.custom_metric_columns(metric.over)))
            ~ ')').columns[0][0] %}
        {% if problem %}
            {% do ml_monitoring.config_error('custom_metrics', 'has the metric `' ~ metric.name
                ~ '` with the expression\n\n    ' ~ metric.expression | indent(4) ~ '\n\n  '
                ~ problem | indent(2), ml_monitoring.custom_metric_example()) %}
        {% endif %}
    {% endfor %}
{% endmacro %}
