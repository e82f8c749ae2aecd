-- Grain: one model_name, model_version, role, group of a protected attribute, closed window of
-- whole days with predictions, and label_view.
select
    {{ shared_keys() | join(',\n    ') }},
    label_view,
    labeled_count,
    labeled_count >= {{ settings().min_samples }}
    and performance_status not in ('not_applicable', 'no_data', 'immature') as takes_part,
    positive_rate as base_rate,
    {{ with_intervals([
        'selection_rate', 'true_positive_rate', 'false_positive_rate', 'precision', 'accuracy'
    ]) | join(',\n    ') }},
    roc_auc,
    roc_auc_lower,
    roc_auc_upper,
    ece,
    ece_noise_floor,
    case when task = 'binary_classification' then performance_status else 'not_applicable' end
        as data_status
from {{ ref('int_performance_windows') }}
where is_protected
