{# A query of the versions of labels that count: matched, not twice, known by now; each with the moment
   at which a newer one has replaced it. #}
{% macro matched_labels() -%}
    select
        history.*,
        case when history.known_until <= clock.held_after then history.known_until end
            as replaced_at
    from {{ ref('int_label_history') }} as history
    cross join {{ ref('int_as_of') }} as clock
    where
        history.match_status = 'matched'
        and not history.is_duplicate
        and history.labeled_at <= clock.held_after
{%- endmacro %}
