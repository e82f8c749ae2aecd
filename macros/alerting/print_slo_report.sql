{# On-run-end: print the open breaches, since dbt itself prints only how many rows failed. A
   streaming run has judged none. #}
{% macro print_slo_report() %}
    {% if not execute or flags.WHICH not in ['build', 'run', 'test', 'retry']
          or ml_monitoring.is_streaming_run() %}
        {{ return('') }}
    {% endif %}
    {% set failed = results | selectattr('status', 'in', ['error', 'skipped'])
        | selectattr('node.resource_type', 'in', ['model', 'seed'])
        | selectattr('node.package_name', 'equalto', 'ml_monitoring') | list %}
    {% set report = ml_monitoring.as_left_by_last_build('slo_report', 'public') %}
    {% if failed %}
        {% do log('\nThe build did not finish; what follows may be of an earlier one.', info=true) %}
    {% endif %}
    {% if not report %}
        {{ return('') }}
    {% endif %}
    {% set files = ml_monitoring.as_left_by_last_build('int_ingested_files') %}
    {% if files and run_query('select count(*) from ' ~ files).columns[0][0] == 0 %}
        {% do log('\nNo input was found under ' ~ ml_monitoring.landing_path()
            ~ '/inference_events and /labels, so every table is empty.'
            ~ ('\nFor the demo type: make demo.' if project_name == 'ml_monitoring')
            ~ '\nFor data of your own set the var landing_path, or inference_events_relation'
            ~ ' (README, "Your own logs").', info=true) %}
    {% endif %}
    {% set breaches = run_query(
        "select severity, slo_name, summary, likely_cause, runbook from " ~ report
        ~ " order by array_position(['page', 'ticket', 'info'], severity), slo_name, summary") %}
    {% if breaches.rows | length == 0 %}
        {% do log('\nSLO report as of ' ~ ml_monitoring.as_of() ~ ' UTC: every objective is met.',
            info=true) %}
        {{ return('') }}
    {% endif %}
    {% do log('\nSLO report as of ' ~ ml_monitoring.as_of() ~ ' UTC: '
        ~ breaches.rows | length ~ ' open', info=true) %}
    {% for breach in breaches.rows %}
        {% do log('\n  ' ~ breach.severity | upper ~ '  ' ~ ml_monitoring.on_one_line(breach.slo_name)
            ~ '\n    what     ' ~ ml_monitoring.on_one_line(breach.summary)
            ~ '\n    why      ' ~ ml_monitoring.on_one_line(breach.likely_cause)
            ~ '\n    runbook  ' ~ ml_monitoring.on_one_line(breach.runbook), info=true) %}
    {% endfor %}
    {% do log('', info=true) %}
    {{ return('') }}
{% endmacro %}
