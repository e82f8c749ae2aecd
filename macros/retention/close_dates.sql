{# On-run-end: drop raw events and labels of days that are past their retention, and note from which
   day on what is kept. Only when the build is complete: then all that is computed from them stands,
   and a killed build can still be run again. #}
{% macro close_dates() %}
    {% if not execute or flags.WHICH not in ['build', 'run'] %}
        {{ return('') }}
    {% endif %}
    {% set wanted = ml_monitoring.retention_days() %}
    {% if not (wanted.values() | select | list) %}
        {{ return('') }}
    {% endif %}
    {% set built = results | selectattr('status', 'equalto', 'success')
        | map(attribute='node.unique_id') | list %}
    {% for node in graph.nodes.values() if node.resource_type == 'model'
          and node.package_name == 'ml_monitoring' and node.unique_id not in built %}
        {{ return('') }}
    {% endfor %}
    {% set retention = api.Relation.create(
        database=target.database,
        schema=ml_monitoring.generate_schema_name('internal', none) | trim,
        identifier='retention',
    ) %}
    {% do run_query('create table if not exists ' ~ retention
        ~ ' (kind varchar primary key, kept_since date)') %}
    {% for kind, days in wanted.items() if days %}
        {% do run_query("insert into " ~ retention ~ " values ('" ~ kind ~ "', timestamp '"
            ~ ml_monitoring.as_of() ~ "'::date - " ~ days ~ ") on conflict (kind) do update"
            ~ " set kept_since = greatest(kept_since, excluded.kept_since)") %}
    {% endfor %}
    {% if wanted.raw %}
        {% do ml_monitoring.drop_raw_lines(run_query(
            "select kept_since::varchar from " ~ retention ~ " where kind = 'raw'").columns[0][0]) %}
    {% endif %}
    {{ return('') }}
{% endmacro %}


{# Delete what was logged before a day. The lines of an identity are kept together: were the one
   that has won gone, another would take its place. A file is closed once all its lines are of closed
   days: it may vanish, and is not read again. #}
{% macro drop_raw_lines(since) %}
    {% set lines = ml_monitoring.as_left_by_last_build('stg_inference_lines', 'restricted') %}
    {% set labels = ml_monitoring.as_left_by_last_build('stg_label_lines', 'restricted') %}
    {% set history = ml_monitoring.as_left_by_last_build('int_label_history') %}
    {% set ledger = ml_monitoring.as_left_by_last_build('int_ingested_files') %}
    {% set hours = ml_monitoring.as_left_by_last_build('int_file_hours') %}
    {% set duplicates = ml_monitoring.as_left_by_last_build('int_duplicate_lines') %}
    {% do run_query("
        update " ~ ledger ~ " as ledger set is_closed = true
        from (
            select 'inference_events' as input, file_path, max(event_hour)::date as last_date
            from " ~ hours ~ " group by all
            union all
            select 'labels', file_path, max(last_date) from (
                select label_file_path as file_path,
                    max(coalesce(event_date, labeled_at::date)) as last_date
                from " ~ history ~ " group by all
                union all
                select file_path, max(labeled_on) as last_date from " ~ labels ~ "
                where reject_reason is not null or line_number = 0 group by all
            ) group by all
        ) as files
        where ledger.input = files.input and ledger.file_path = files.file_path
            and coalesce(files.last_date, ledger.modified_at::date) < date '" ~ since ~ "'
            and not ledger.is_closed
    ") %}
    {% set closed_files = "select file_path from " ~ ledger ~ " where is_closed and input = " %}
    {% do run_query("
        delete from " ~ lines ~ "
        where (
            event_date < date '" ~ since ~ "'
            or event_date is null and file_path in (" ~ closed_files ~ "'inference_events')
        ) and not coalesce(identity_hash in (
            select identity_hash from " ~ lines ~ "
            where event_date >= date '" ~ since ~ "' and reject_reason is null and line_number > 0
                and identity_hash in (select identity_hash from " ~ duplicates ~ ")
        ), false)
    ") %}
    {% do run_query("update " ~ ml_monitoring.as_left_by_last_build('int_label_outcomes')
        ~ " set next_change_at = null where next_change_at is not null and file_path in ("
        ~ closed_files ~ "'labels')") %}
    {% for table, column in [(labels, 'file_path'), (history, 'label_file_path')] %}
        {% do run_query("delete from " ~ table ~ " where " ~ column ~ " in ("
            ~ closed_files ~ "'labels')") %}
    {% endfor %}
{% endmacro %}
