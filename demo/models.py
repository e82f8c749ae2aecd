"""The two versions of the model that the demo's service runs: real models, real scores."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from demo.flights import CATEGORICAL, FEATURES, WEATHER

THRESHOLD = 0.5

# scikit-learn's OpenMP threads spin while they wait for each other: on a machine with other work
# two of them take ten times as long as one, and alone they save two seconds.
one_thread = threadpool_limits.wrap(limits=1, user_api="openmp")

# A version knows the flights that had landed by this moment.
TRAINED_UNTIL = {
    "v1": datetime(2013, 2, 15, tzinfo=UTC),
    "v2": datetime(2013, 6, 1, tzinfo=UTC),
}


@dataclass(frozen=True)
class Deployment:
    """A version in a role during [start, end)."""

    model_version: str
    role: str
    start: datetime
    end: datetime


PROMOTION = datetime(2013, 7, 15, tzinfo=UTC)
DEPLOYMENTS = [
    Deployment("v1", "live", datetime(2013, 2, 15, tzinfo=UTC), PROMOTION),
    Deployment("v2", "shadow", datetime(2013, 6, 15, tzinfo=UTC), PROMOTION),
    Deployment("v2", "live", PROMOTION, datetime(2014, 1, 1, tzinfo=UTC)),
]


class DelayModel:
    """Gradient boosting that predicts whether a flight arrives 15 or more minutes late.

    Missing weather is imputed with the median seen in training. A missing recent delay means
    'no flight before', which the trees can use as it is.

    Parameters
    ----------
    flights : pandas.DataFrame
        Training flights: the columns in `FEATURES`, and `label` without nulls.
    seed : int
        Seed of the learner.
    """

    @one_thread
    def __init__(self, flights: pd.DataFrame, *, seed: int):
        self._medians = flights[list(WEATHER)].median()
        self._trees = HistGradientBoostingClassifier(
            categorical_features="from_dtype",
            max_iter=150,
            learning_rate=0.05,
            max_leaf_nodes=15,
            min_samples_leaf=200,
            l2_regularization=10.0,
            early_stopping=False,
            random_state=seed,
        )
        self._trees.fit(self._inputs(flights), flights["label"].astype(int))

    @one_thread
    def score(self, flights: pd.DataFrame) -> pd.Series:
        """Probability of a late arrival, to six decimals as the service logs it."""
        probability = self._trees.predict_proba(self._inputs(flights))[:, 1]
        return pd.Series(probability, index=flights.index).round(6)

    def _inputs(self, flights: pd.DataFrame) -> pd.DataFrame:
        types = dict.fromkeys(CATEGORICAL, "category")
        return flights[FEATURES].fillna(self._medians).astype(types)


def train(flights: pd.DataFrame, version: str, *, seed: int) -> DelayModel:
    """Train a version on the flights that had landed when it was trained."""
    landed = flights["landed_at"] < TRAINED_UNTIL[version]
    return DelayModel(flights[landed & flights["label"].notna()], seed=seed)
