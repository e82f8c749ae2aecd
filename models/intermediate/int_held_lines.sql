-- Grain: one landing file with valid lines that are dated further ahead than a clock may be, and
-- how many they are.
{% for input, lines, moment in [
    ('inference_events', ref('stg_inference_lines'), 'ts'),
    ('labels', ref('stg_label_lines'), 'labeled_at'),
] %}
select
    '{{ input }}' as input,
    lines.file_path,
    count(*) as held_count
from {{ lines }} as lines
where
    lines.reject_reason is null
    -- A literal: only row groups that hold such lines are read.
    and lines.{{ moment }} > timestamp '{{ held_after() }}'
group by lines.file_path
{{ 'union all' if not loop.last }}
{% endfor %}
