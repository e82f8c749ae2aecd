{# The alerts on how fast an error budget of 28 days burns, as in the SRE workbook (chapter 5,
   table 5-8): both windows must burn at `factor` times the rate that uses the budget up in 28
   days. The short window ends the alert soon after the cause has; it must stay calm for
   `resolve_windows` of its steps, so that little traffic does not make it flap. #}
{% macro burn_rates() %}
    {{ return([
        {'long': '1h', 'short': '5m', 'factor': 14.4, 'severity': 'page', 'resolve_windows': 60},
        {'long': '6h', 'short': '30m', 'factor': 6, 'severity': 'page', 'resolve_windows': 60},
        {'long': '1d', 'short': '2h', 'factor': 3, 'severity': 'ticket', 'resolve_windows': 6},
        {'long': '3d', 'short': '6h', 'factor': 1, 'severity': 'ticket', 'resolve_windows': 12},
    ]) }}
{% endmacro %}


{# The same where labels decide: they come by the day. #}
{% macro labelled_burn_rates() %}
    {{ return([
        {'long': '7d', 'short': '1d', 'factor': 2, 'severity': 'ticket', 'resolve_windows': 1},
    ]) }}
{% endmacro %}


{# The shares of requests that an error budget of requests can be of. #}
{% macro budgeted_metrics() %}
    {{ return(['error_rate', 'slow_rate', 'accuracy', 'label_coverage']) }}
{% endmacro %}


{# Whether a target has an error budget of requests: a share of them over 28 days. #}
{% macro has_request_budget(target) -%}
    (
        {{ target }}.window_size = '28d'
        and {{ target }}.metric in ({{ text_literals(ml_monitoring.budgeted_metrics()) }})
    )
{%- endmacro %}


{# The share of bad requests, where a target is about a share: what is above, or what is missing. #}
{% macro bad_share(value, comparator) -%}
    case when {{ comparator }} in ('<', '<=') then {{ value }} else 1 - {{ value }} end
{%- endmacro %}
