"""Compare ``evidently_rule`` with Evidently itself; runs in its environment, with its Python.

``<its python> -m simulations.check_evidently``; benchmarks/requirements-evidently.txt pins it.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

from simulations.evidently_rule import is_drift
from simulations.worlds import CATEGORICAL, FEATURES, Change, World, draw

WORLDS = [World("small reference", 50), World("large reference", 300)]
CHANGES = [Change(), Change(shift=0.3), Change(scale=1.5), Change(nulls=0.2)]


def verdicts_of_evidently(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, bool]:
    """Ask Evidently, by its preset without any option, which columns have drifted."""
    categorical = [feature.name for feature in CATEGORICAL]
    definition = DataDefinition(
        numerical_columns=[name for name in reference if name not in categorical],
        categorical_columns=categorical,
    )
    datasets = [
        Dataset.from_pandas(frame, data_definition=definition) for frame in (current, reference)
    ]
    result = Report([DataDriftPreset()]).run(*datasets).dict()
    verdicts = {}
    for metric in result["metrics"]:
        config = metric["config"]
        if "column" not in config:
            continue
        is_pvalue = "p_value" in config["method"]
        value = metric["value"]
        verdicts[config["column"]] = bool(
            value < config["threshold"] if is_pvalue else value >= config["threshold"]
        )
    return verdicts


def main() -> int:
    """Print how many verdicts agree; returns 1 if any does not."""
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(1)
    different, compared, drifted = [], 0, 0
    for world in WORLDS:
        for change in CHANGES:
            samples = {feature.name: draw(feature, world, rng, change) for feature in FEATURES}
            reference = {name: sample.baseline.ravel() for name, sample in samples.items()}
            current = {name: sample.current for name, sample in samples.items()}
            theirs = verdicts_of_evidently(pd.DataFrame(reference), pd.DataFrame(current))
            for feature in FEATURES:
                sample = samples[feature.name]
                ours = is_drift(
                    sample.ordered, sample.current, is_categorical=feature.is_categorical
                )
                compared += 1
                drifted += theirs[feature.name]
                if ours != theirs[feature.name]:
                    different.append(f"{feature.name}, {world.name}, {change}: {ours} here")
    print(f"{compared - len(different)} of {compared} verdicts agree, {drifted} of them drift")
    print("\n".join(different))
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
