{# Every var that shapes SQL, checked once more at the start of a run, so that a mistake stops
   the build before it touches a table. #}
{% macro validate_config() %}
    {% do ml_monitoring.monitored_models() %}
    {% do ml_monitoring.as_of() %}
    {% do ml_monitoring.max_clock_skew_minutes() %}
    {% do ml_monitoring.streaming_lookback_minutes() %}
    {% do ml_monitoring.settings() %}
    {% do ml_monitoring.retention_days() %}
    {% do ml_monitoring.landing_path() %}
    {% do ml_monitoring.is_publishing() %}
    {% do ml_monitoring.check_custom_expressions() %}
    {% for name in ['inference_events_relation', 'labels_relation', 'slo_targets_relation',
                    'alert_rules_relation', 'deployments_relation', 'launch_margins_relation',
                    'alert_acknowledgements_relation', 'alert_silences_relation',
                    'maintenance_windows_relation'] %}
        {% do ml_monitoring.relation_var(name) %}
    {% endfor %}
{% endmacro %}


{% macro validate_monitored_models(models) %}
    {% set example %}
monitored_models:
  - name: churn
    task: binary_classification
    baseline: {start: "2024-01-01", end: "2024-02-01"}
    features:
      - {name: age, type: numerical}
      - {name: country, type: categorical}
    slices: [country]{% endset %}

    {% if models is none %}
        {% do ml_monitoring.config_error(
            'monitored_models', 'is not set: list the models to monitor.', example) %}
    {% endif %}
    {% if models is string or models is mapping or models is not iterable or models | length == 0 %}
        {% do ml_monitoring.config_error(
            'monitored_models', 'must be a list with at least one model.', example) %}
    {% endif %}

    {% set seen = [] %}
    {% set spellings = {} %}
    {% set types = {} %}
    {% for model in models %}
        {% if model is not mapping or not model.get('name') or model.name is not string %}
            {% do ml_monitoring.config_error(
                'monitored_models', 'has an entry (number ' ~ loop.index
                ~ ') without a `name` that is text.', example) %}
        {% endif %}
        {% if model.name | trim == '' or model.name | length > 200
              or modules.re.search('[\\x00-\\x1f]', model.name) %}
            {% do ml_monitoring.config_error('monitored_models', 'has the model `' ~ model.name
                ~ '`; the name of a model is text of up to 200 characters without control'
                ~ ' characters.', example) %}
        {% endif %}
        {% if model.name in seen %}
            {% do ml_monitoring.config_error(
                'monitored_models', 'names the model `' ~ model.name ~ '` twice.', example) %}
        {% endif %}
        {% do seen.append(model.name) %}
        {% do ml_monitoring.validate_monitored_model(model, example) %}
        {# The columns of all models stand side by side, and SQL does not tell case apart. #}
        {% for field in model.features + model.get('slices', []) %}
            {% set name = field if field is string else field.name %}
            {% if spellings.get(name | lower, name) != name %}
                {% do ml_monitoring.config_error('monitored_models', 'spells one name in two ways: `'
                    ~ name ~ '` and `' ~ spellings[name | lower]
                    ~ '`. Log and declare it in one.', example) %}
            {% endif %}
            {% do spellings.update({name | lower: name}) %}
        {% endfor %}
        {# A number and an age of one name would be one column. #}
        {% for feature in model.features if feature.type in ['numerical', 'timestamp'] %}
            {% if types.setdefault(feature.name | lower, feature.type) != feature.type %}
                {% do ml_monitoring.config_error('monitored_models', 'declares the feature `'
                    ~ feature.name ~ '` as numerical in one model and as a timestamp in another.'
                    ~ ' Log one of them under another name.', example) %}
            {% endif %}
        {% endfor %}
    {% endfor %}
{% endmacro %}


{% macro validate_monitored_model(model, example) %}
    {% set where = 'of the model `' ~ model.name ~ '` ' %}
    {% set tasks = ['binary_classification', 'multiclass_classification', 'regression'] %}
    {% set types = ['numerical', 'categorical', 'boolean', 'timestamp'] %}
    {% set known = ['name', 'task', 'decision_threshold', 'latency_threshold_ms', 'baseline',
                    'min_label_coverage', 'label_grace_hours', 'features', 'slices',
                    'protected_attributes', 'protected_intersections', 'is_demo'] %}

    {% for key in model if key not in known %}
        {% do ml_monitoring.config_error('monitored_models', where ~ 'has the unknown key `' ~ key
            ~ '`; known are ' ~ known | join(', ') ~ '.', example) %}
    {% endfor %}
    {% if model.get('task') not in tasks %}
        {% do ml_monitoring.config_error('monitored_models', where ~ 'has the task `'
            ~ model.get('task') ~ '`; it must be one of ' ~ tasks | join(', ') ~ '.', example) %}
    {% endif %}
    {% for key, low, high in [('decision_threshold', none, none), ('min_label_coverage', 0, 1),
                              ('label_grace_hours', 0, none)] %}
        {% set value = model.get(key, 0.5) %}
        {% if value is not number or value is sameas true or value is sameas false
              or (low is not none and value < low) or (high is not none and value > high) %}
            {% do ml_monitoring.config_error('monitored_models', where ~ 'has ' ~ key ~ ' `' ~ value
                ~ '`; it must be a number' ~ (' from ' ~ low if low is not none else '')
                ~ (' to ' ~ high if high is not none else '') ~ '.', example) %}
        {% endif %}
    {% endfor %}

    {% set threshold = model.get('latency_threshold_ms') %}
    {% if threshold is not none and (threshold is not number or threshold is sameas true
          or threshold is sameas false or not 0 < threshold < 1e9) %}
        {% do ml_monitoring.config_error('monitored_models', where ~ 'has latency_threshold_ms `'
            ~ threshold ~ '`; it must be a number above 0, or null: then no request counts as'
            ~ ' slow or not.', 'latency_threshold_ms: 250') %}
    {% endif %}

    {% do ml_monitoring.validate_baseline(model.get('baseline', {'days': 14}), where, example) %}

    {% set features = model.get('features') %}
    {% if features is none or features is string or features is mapping
          or features is not iterable %}
        {% do ml_monitoring.config_error('monitored_models', where
            ~ 'needs `features`: a list of {name, type}; [] where there are none.', example) %}
    {% endif %}
    {% set feature_types = {} %}
    {% for feature in features %}
        {% if feature is not mapping or 'name' not in feature or feature.get('type') not in types
              or feature | length != (3 if 'importance' in feature else 2) %}
            {% do ml_monitoring.config_error('monitored_models', where ~ 'has the feature `'
                ~ feature ~ '`; it must be {name: ..., type: ...} with a type of '
                ~ types | join(', ') ~ ', and may have an importance.', example) %}
        {% endif %}
        {% set importance = feature.get('importance', 0) %}
        {% if importance is not number or importance is sameas true or importance is sameas false
              or not 0 <= importance < 1e300 or ('importance' in feature) != ('importance' in features[0]) %}
            {% do ml_monitoring.config_error('monitored_models', where ~ 'gives the feature `'
                ~ feature.name ~ '` the importance `' ~ feature.get('importance') ~ '`; it must be a'
                ~ ' number from 0 on, and all features of a model have one, or none has.',
                'features: [{name: plan, type: categorical, importance: 0.4}, ...]') %}
        {% endif %}
        {% do ml_monitoring.validate_field_name(feature.name, where ~ 'has a feature', example) %}
        {% if feature.name | lower == 'score'
              or feature.name | lower == 'prediction' and model.task.startswith('multiclass') %}
            {% do ml_monitoring.config_error('monitored_models', where
                ~ 'has a feature named `' ~ feature.name ~ '`; that name stands for an output of the'
                ~ ' model in the drift tables. Log it under another name.', example) %}
        {% endif %}
        {% if feature.name | lower in feature_types %}
            {% do ml_monitoring.config_error('monitored_models', where ~ 'names the feature `'
                ~ feature.name ~ '` twice (upper and lower case are not told apart).', example) %}
        {% endif %}
        {% do feature_types.update({feature.name | lower: feature.type}) %}
    {% endfor %}

    {% set slice_names = [] %}
    {% for slice in model.get('slices', []) %}
        {% set name = slice if slice is string else (slice.get('name') if slice is mapping) %}
        {% do ml_monitoring.validate_field_name(name, where ~ 'has a slice', example) %}
        {% set breaks = slice.get('breaks', []) if slice is mapping else [] %}
        {% if name | lower in ['all'] + slice_names %}
            {% do ml_monitoring.config_error('monitored_models', where ~ 'has the slice `' ~ name
                ~ '`, which is taken: `all` is the whole model, and each name counts once.',
                example) %}
        {% endif %}
        {% do slice_names.append(name | lower) %}
        {% if feature_types.get(name | lower) in ['numerical', 'timestamp'] and not breaks %}
            {% do ml_monitoring.config_error('monitored_models', where
                ~ 'slices by the ' ~ feature_types[name | lower] ~ ' feature `' ~ name ~ '` without breaks.',
                'slices: [{name: ' ~ name ~ ', breaks: [18, 30, 65]}]') %}
        {% endif %}
        {% for value in breaks %}
            {% if value is not number or (not loop.first and value <= breaks[loop.index0 - 1]) %}
                {% do ml_monitoring.config_error('monitored_models', where ~ 'has the slice `' ~ name
                    ~ '` with breaks ' ~ breaks ~ '; they must be numbers that rise.',
                    'slices: [{name: ' ~ name ~ ', breaks: [18, 30, 65]}]') %}
            {% endif %}
        {% endfor %}
    {% endfor %}
    {% for name in model.get('protected_attributes', []) %}
        {% if name | lower not in slice_names %}
            {% do ml_monitoring.config_error('monitored_models', where
                ~ 'has the protected attribute `' ~ name ~ '`, which is not one of its slices.',
                'slices: [' ~ name ~ ']\nprotected_attributes: [' ~ name ~ ']') %}
        {% endif %}
    {% endfor %}
    {% do ml_monitoring.validate_intersections(model, where) %}
{% endmacro %}


{# Pairs of protected attributes. The name of a pair is a slice_key of its own. #}
{% macro validate_intersections(model, where) %}
    {% set right = 'protected_attributes: [sex, age_band]\nprotected_intersections: [[sex, age_band]]' %}
    {% set pairs = model.get('protected_intersections', []) %}
    {% if pairs is string or pairs is mapping or pairs is not iterable %}
        {% do ml_monitoring.config_error('monitored_models', where
            ~ 'has protected_intersections `' ~ pairs ~ '`; it must be a list of pairs.', right) %}
    {% endif %}
    {% set names = [] %}
    {% for slice in model.get('slices', []) %}
        {% do names.append((slice if slice is string else slice.name) | lower) %}
    {% endfor %}
    {% for pair in pairs %}
        {% if pair is string or pair is mapping or pair is not iterable or pair | length != 2
              or pair[0] == pair[1] %}
            {% do ml_monitoring.config_error('monitored_models', where
                ~ 'has the protected intersection `' ~ pair
                ~ '`; it must be two different attributes.', right) %}
        {% endif %}
        {% for name in pair if name not in model.get('protected_attributes', []) %}
            {% do ml_monitoring.config_error('monitored_models', where
                ~ 'has a protected intersection of `' ~ name
                ~ '`, which is none of its protected attributes.', right) %}
        {% endfor %}
        {% set name = pair | join(' x ') | lower %}
        {% if name in names or pair | reverse | join(' x ') | lower in names %}
            {% do ml_monitoring.config_error('monitored_models', where
                ~ 'has the protected intersection `' ~ pair | join(' x ')
                ~ '`, whose name is taken: by a slice, or by the same pair again.', right) %}
        {% endif %}
        {% do names.append(name) %}
    {% endfor %}
{% endmacro %}


{% macro validate_baseline(baseline, where, example) %}
    {% set right = 'baseline: {start: "2024-01-01", end: "2024-02-01"}   # or {days: 14},'
        ~ ' {path: data/training/churn.parquet}, {relation: schema.table}' %}
    {% if baseline is not mapping %}
        {% do ml_monitoring.config_error('monitored_models', where ~ 'has the baseline `'
            ~ baseline ~ '`; it must be {start, end} or {days}, or for a training set {path} or'
            ~ ' {relation}.', right) %}
    {% endif %}
    {% set keys = baseline | reject('equalto', 'revision') | sort %}
    {% if 'revision' in baseline and (baseline.revision is not integer
          or baseline.revision is sameas true or baseline.revision < 2) %}
        {% do ml_monitoring.config_error('monitored_models', where ~ 'has a baseline of revision `'
            ~ baseline.revision ~ '`; it must be a whole number from 2, the second time that the'
            ~ ' same days or set are taken.', 'baseline: {start: "2024-01-01", end: "2024-02-01", revision: 2}') %}
    {% endif %}
    {% if keys == ['days'] %}
        {% if baseline.days is not integer or baseline.days is sameas true or baseline.days < 1 %}
            {% do ml_monitoring.config_error('monitored_models', where ~ 'has a baseline of `'
                ~ baseline.days ~ '` days; it must be a whole number from 1.', right) %}
        {% endif %}
    {% elif keys == ['end', 'start'] %}
        {% set start = ml_monitoring.parse_moment(baseline.start) %}
        {% set end = ml_monitoring.parse_moment(baseline.end) %}
        {% if start is none or end is none or start >= end
              or start[-8:] != '00:00:00' or end[-8:] != '00:00:00' %}
            {% do ml_monitoring.config_error('monitored_models', where ~ 'has the baseline '
                ~ baseline ~ '; start and end must be dates, start before end.', right) %}
        {% endif %}
    {% elif keys | reject('equalto', 'model_version') | list in [['path'], ['relation']] %}
        {% do ml_monitoring.validate_training_set(baseline, where, right) %}
    {% else %}
        {% do ml_monitoring.config_error('monitored_models', where ~ 'has the baseline '
            ~ baseline ~ '; it must be {start, end} or {days}, or for a training set {path} or'
            ~ ' {relation}.', right) %}
    {% endif %}
{% endmacro %}


{# Only its name: whether it is there, and what is in it, is looked at when it is read. #}
{% macro validate_training_set(baseline, where, right) %}
    {% set path, version = baseline.get('path'), baseline.get('model_version') %}
    {% if 'path' in baseline and (path is not string or not path.lower().endswith('.parquet')) %}
        {% do ml_monitoring.config_error('monitored_models', where
            ~ 'has a baseline of the path `' ~ path ~ '`; it must be that of a Parquet file, which'
            ~ ' ends in .parquet.', 'baseline: {path: data/training/churn.parquet}') %}
    {% endif %}
    {% if 'relation' in baseline and not ml_monitoring.relation_of(baseline.relation) %}
        {% do ml_monitoring.config_error('monitored_models', where
            ~ 'has a baseline of the relation `' ~ baseline.relation
            ~ '`; it must name a relation, schema.table.', 'baseline: {relation: my_schema.my_table}') %}
    {% endif %}
    {% if 'model_version' in baseline and (version is not string or version | trim == '') %}
        {% do ml_monitoring.config_error('monitored_models', where
            ~ 'has a baseline with the model_version `' ~ version ~ '`; it must be the text that the'
            ~ ' version is logged as, whose scores the set has.',
            'baseline: {path: data/training/churn.parquet, model_version: "1.0"}') %}
    {% endif %}
{% endmacro %}


{# A name becomes a quoted identifier and a JSON key: what neither can hold is refused. #}
{% macro validate_field_name(name, where, example, var_name='monitored_models') %}
    {% if name is not string or name | trim == '' or name | length > 200
          or '"' in name or '\\' in name or name == '(none)'
          or modules.re.search('[\\x00-\\x1f]', name) %}
        {% do ml_monitoring.config_error(var_name, where ~ ' with the name `' ~ name
            ~ '`; a name is text of up to 200 characters without quotation marks, backslashes or'
            ~ ' control characters.', example) %}
    {% endif %}
{% endmacro %}
