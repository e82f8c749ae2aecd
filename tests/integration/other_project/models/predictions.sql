-- Grain: one request of three weeks, one each quarter of an hour.
select
    'r' || step as request_id,
    timestamp '2024-03-01' + to_minutes(15 * step) as ts,
    'basket' as model,
    'v1' as model_version,
    case when step % 40 = 0 then 503 else 200 end as status,
    (10 + step % 90)::double as latency_ms,
    case when step % 40 > 0 then (step * 37 % 100) / 100 end as score,
    {
        'amount': (step * 13 % 50)::double,
        'plan': case when step % 3 = 0 then 'pro' else 'basic' end
    } as features
from range(21 * 96) as steps (step)
