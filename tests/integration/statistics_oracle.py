"""Statistics of the marts computed anew from the landing files: scikit-learn, SciPy and pandas."""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

from tests.integration import oracle
from tests.integration.oracle import SERIES

MIN_SAMPLES = 50
MIN_PER_CLASS = 10
MIN_COVERAGE = 0.5
GRACE = timedelta(hours=48)
SKEW = timedelta(minutes=60)
CALIBRATION_EDGES = np.arange(11) / 10
PSI_FLOOR = 1e-6
MIN_CELL = 10


# --- What was logged -----------------------------------------------------------------------------


def read_predictions(folder: Path, as_of: datetime, model: dict) -> pd.DataFrame:
    """Read the accepted events that are no errors, one row each, with a column per feature."""
    events, _ = oracle.read_events(folder, as_of, lambda record: {"record": record})
    events = events[events["status"] < 400].sort_values("ts", ignore_index=True)
    records = list(events["slices"].str["record"])
    result = events[["model_name", "model_version", "role", "request_id", "ts"]].copy()
    result["day"] = result["ts"].dt.floor("D")
    result["score"] = pd.array(
        [oracle.number(record.get("score"), 0, 1) for record in records], float
    )
    decided = (result["score"] >= model["decision_threshold"]).where(result["score"].notna())
    logged = [{"0": 0.0, "1": 1.0}.get(str(record.get("prediction"))) for record in records]
    result["predicted"] = pd.Series(logged, dtype=float).fillna(decided.astype(float))
    for feature in model["features"]:
        values = [(record.get("features") or {}).get(feature["name"]) for record in records]
        result[feature["name"]] = FEATURE_VALUES[feature["type"]](values)
    for key in model["slices"]:
        result[f"slice {key}"] = [value or "(missing)" for value in result[key]]
    for pair in model.get("protected_intersections", []):
        first, second = (result[f"slice {key}"] for key in pair)
        result[f"slice {' x '.join(pair)}"] = first + " x " + second
    return result


def category(value) -> str | None:
    return value if isinstance(value, str) else None


FEATURE_VALUES = {
    "numerical": lambda values: np.array([oracle.number(value) for value in values], float),
    "categorical": lambda values: pd.Series([category(value) for value in values], dtype=object),
    "boolean": lambda values: pd.Series(
        [{True: "true", False: "false"}.get(value) for value in values], dtype=object
    ),
}


def by_slice(predictions: pd.DataFrame, slices: list[str]) -> pd.DataFrame:
    """One row for each prediction and slice that it is in."""
    parts = [predictions.assign(slice_key="all", slice_value="all")]
    parts += [
        predictions.assign(slice_key=key, slice_value=predictions[f"slice {key}"]) for key in slices
    ]
    return pd.concat(parts, ignore_index=True)


def read_labels(folder: Path, as_of: datetime, model: dict) -> pd.DataFrame:
    """Read all versions of the labels of a binary classifier, the newest last."""
    labels = oracle.read_labels(folder, as_of)
    is_ours = labels["label_model"].isna() | (labels["label_model"] == model["name"])
    labels = labels[is_ours & labels["label"].isin([0, 1])].astype({"label": float})
    return labels.sort_values(["labeled_at", "label"], ignore_index=True)


def known_labels(labels: pd.DataFrame, until: datetime) -> pd.Series:
    """Give the labels that were the newest at a moment, by request_id."""
    known = labels[labels["labeled_at"] <= until].drop_duplicates("request_id", keep="last")
    return known.set_index("request_id")["label"]


# --- Performance and calibration -----------------------------------------------------------------


@dataclass(frozen=True)
class Labelled:
    """The labelled predictions of one series, window and label view."""

    y_true: np.ndarray
    y_score: np.ndarray
    y_pred: np.ndarray
    prediction_count: int
    is_growing: bool

    @property
    def scored(self) -> tuple[np.ndarray, np.ndarray]:
        has_score = ~np.isnan(self.y_score)
        return self.y_true[has_score], self.y_score[has_score]

    @property
    def decided(self) -> tuple[np.ndarray, np.ndarray]:
        is_decided = ~np.isnan(self.y_pred)
        return self.y_true[is_decided].astype(int), self.y_pred[is_decided].astype(int)

    @property
    def is_mature(self) -> bool:
        return not self.is_growing and len(self.y_true) >= MIN_COVERAGE * self.prediction_count


def label_windows(
    predictions: pd.DataFrame, labels: pd.DataFrame, slices: list[str], sizes, as_of: datetime
):
    """Yield (window_size, window_end, label_view, predictions by slice with a column label).

    ``predictions`` are as ``read_predictions`` gives them, with at least a column ``slice <key>``
    for each of the slices; ``labels`` as ``read_labels`` does, but of any type.
    """
    rows = by_slice(predictions, slices)
    for days in sizes:
        for end in window_ends(predictions, days, as_of):
            inside = rows[(rows["day"] < end) & (rows["day"] >= end - timedelta(days=days))]
            for view in ("as_known", "latest"):
                until = as_of + SKEW if view == "latest" else end + GRACE
                known = known_labels(labels, min(until, as_of + SKEW))
                label = inside["request_id"].map(known)
                is_growing = view == "as_known" and end + GRACE > as_of
                yield f"{days}d", end, view, inside.assign(label=label, is_growing=is_growing)


def window_ends(predictions: pd.DataFrame, days: int, as_of: datetime) -> list[datetime]:
    """List the ends of the closed windows that reach over some prediction."""
    last = min(as_of, predictions["day"].max() + timedelta(days=days))
    return list(pd.date_range(predictions["day"].min() + timedelta(days=1), last, freq="D"))


def labelled_groups(*arguments) -> dict[tuple, Labelled]:
    """Collect the labelled predictions of all windows; arguments as of ``label_windows``."""
    groups = {}
    for size, end, view, inside in label_windows(*arguments):
        for key, part in inside.groupby(SERIES):
            found = part[part["label"].notna()]
            groups[(*key, size, end, view)] = Labelled(
                found["label"].to_numpy(),
                found["score"].to_numpy(),
                found["predicted"].to_numpy(),
                len(part),
                bool(part["is_growing"].iloc[0]),
            )
    return groups


def label_status(group: Labelled) -> str:
    """Say what is missing before anything is computed."""
    if not len(group.y_true):
        return "no_data"
    return "ok" if group.is_mature else "immature"


def performance_status(group: Labelled) -> str:
    """Give the data_status of model_performance, which is that of AUC."""
    status, (y_true, _) = label_status(group), group.scored
    if status != "ok":
        return status
    if len(y_true) < MIN_SAMPLES:
        return "insufficient_data"
    least = min(y_true.sum(), len(y_true) - y_true.sum())
    return "single_class" if least == 0 else "ok" if least >= MIN_PER_CLASS else "insufficient_data"


def calibration_status(group: Labelled) -> str:
    """Give the data_status of calibration, which is that of ECE."""
    status = label_status(group)
    if status == "ok" and len(group.scored[0]) < MIN_SAMPLES:
        return "insufficient_data"
    return status


def performance(group: Labelled) -> dict[str, float]:
    """Give the metrics of one row; those that are undefined are left out."""
    found: dict[str, float] = {}
    y_true, y_score = group.scored
    if performance_status(group) == "ok":
        found["roc_auc"] = roc_auc_score(y_true, y_score)
        found["average_precision"] = average_precision_score(y_true, y_score)
    if calibration_status(group) == "ok":
        found["brier_score"] = brier_score_loss(y_true, y_score)
        found["log_loss"] = log_loss(y_true, y_score, labels=[0, 1])
        found |= calibration(y_true, y_score)
    if label_status(group) == "ok" and len(group.y_true) >= MIN_SAMPLES:
        y_true, y_pred = group.decided
        precision, (specificity, recall), f1, _ = precision_recall_fscore_support(
            y_true, y_pred, labels=[0, 1], zero_division=np.nan
        )
        found |= {
            "positive_rate": group.y_true.mean(),
            "f1": f1[1],
            "precision": precision[1],
            "recall": recall,
            "true_positive_rate": recall,
            "false_positive_rate": 1 - specificity,
            "accuracy": accuracy_score(y_true, y_pred),
            "selection_rate": y_pred.mean(),
        }
    return {name: float(value) for name, value in found.items() if not np.isnan(value)}


def reliability(y_true: np.ndarray, y_score: np.ndarray) -> dict[str, np.ndarray]:
    """Ten calibration bins, closed below, the last one on both sides."""
    number = np.searchsorted(CALIBRATION_EDGES[1:-1], y_score, side="right")
    count = np.bincount(number, minlength=10)
    sums = [
        np.bincount(number, weights=part, minlength=10)[count > 0]
        for part in (y_true, y_score, y_score * (1 - y_score))
    ]
    positives, scores, variances = sums
    count = count[count > 0]
    return {
        "bin": np.unique(number),
        "labeled_count": count,
        "positive_rate": positives / count,
        "mean_score": scores / count,
        "variance": variances,
    }


def calibration(y_true: np.ndarray, y_score: np.ndarray) -> dict[str, float]:
    """Calibration error, its noise floor and its largest bin."""
    bins = reliability(y_true, y_score)
    distance = np.abs(bins["positive_rate"] - bins["mean_score"])
    is_large = bins["labeled_count"] >= MIN_SAMPLES
    ece = np.average(distance, weights=bins["labeled_count"])
    floor = np.sqrt(2 / np.pi) * np.sqrt(bins["variance"]).sum() / len(y_true)
    return {
        "ece": ece,
        "mce": distance[is_large].max() if is_large.any() else np.nan,
        "ece_noise_floor": floor,
        "ece_excess": ece - floor,
        "mean_score": y_score.mean(),
    }


def calibration_line(y_true: np.ndarray, y_score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and intercept of the logistic regression on the logit, and their standard errors."""
    x = logit(np.clip(y_score, 2.0**-52, 1 - 2.0**-52))
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10).fit(
        x[:, None], y_true
    )
    chance = model.predict_proba(x[:, None])[:, 1]
    design = np.stack([x, np.ones(len(x))])
    covariance = np.linalg.inv((design * chance * (1 - chance)) @ design.T)
    return np.array([model.coef_[0, 0], model.intercept_[0]]), np.sqrt(np.diag(covariance))


def delong_interval(y_true: np.ndarray, y_score: np.ndarray) -> tuple[float, float]:
    """DeLong's 95 % interval of the AUC, from the placements of the scores themselves."""
    positives, negatives = y_score[y_true == 1], y_score[y_true == 0]
    below = (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)
    variance = below.mean(axis=1).var(ddof=1) / len(positives)
    variance += below.mean(axis=0).var(ddof=1) / len(negatives)
    reach = stats.norm.ppf(0.975) * np.sqrt(variance)
    return max(below.mean() - reach, 0), min(below.mean() + reach, 1)


# --- Drift ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """The values of one feature on one side of a comparison, in rising order where it has one.

    ``codes`` are the places of the values, where the feature has such; see ``Places``.
    """

    values: np.ndarray | None
    codes: np.ndarray | None
    places: "Places | None"
    null_count: int
    count: int

    def place_counts(self) -> np.ndarray:
        """Count the values at each place."""
        return np.bincount(self.codes, minlength=self.places.count)

    def count_cell(self, lower: float, upper: float, category: str | None) -> int:
        """Count what is in a cell (lower, upper]; one value if they are equal."""
        if category == "(missing)":
            return self.null_count
        if category is not None:
            return int((self.codes == self.places.code_of(category)).sum())
        start = 0 if np.isnan(lower) else np.searchsorted(self.values, lower, side="right")
        if lower == upper:
            start = np.searchsorted(self.values, lower, side="left")
        stop = len(self.values)
        if not np.isnan(upper):
            stop = np.searchsorted(self.values, upper, side="right")
        return int(stop - start)


class Series:
    """The predictions of one version, role and slice, or of a baseline, by day."""

    def __init__(self, rows: pd.DataFrame, features: list[str], places: dict[str, "Places"]):
        rows = rows.sort_values("day")
        self._days = [day.toordinal() for day in rows["day"]]
        self._places = places
        self._values = {
            name: rows[name].to_numpy(float) if rows[name].dtype == float else None
            for name in features
        }
        self._is_null = {name: rows[name].isna().to_numpy() for name in features}
        self._codes = {name: rows[f"place {name}"].to_numpy() for name in places}

    def _between(self, start: datetime, end: datetime) -> slice:
        return slice(*(bisect_left(self._days, bound.toordinal()) for bound in (start, end)))

    def count(self, start: datetime, end: datetime) -> int:
        """Count the predictions of the days in [start, end)."""
        inside = self._between(start, end)
        return inside.stop - inside.start

    def sample(self, feature: str, start: datetime, end: datetime) -> Sample:
        """Take a feature from the days in [start, end)."""
        inside = self._between(start, end)
        values, codes = self._values[feature], self._codes.get(feature)
        null = int(self._is_null[feature][inside].sum())
        count = inside.stop - inside.start
        return Sample(
            # NaN is sorted last.
            None if values is None else np.sort(values[inside])[: count - null],
            None if codes is None else codes[inside],
            self._places.get(feature),
            null,
            count,
        )


@dataclass(frozen=True)
class Places:
    """The places that values have on a baseline: its values, or its categories.

    A number is at its own place or in the gap between two; a category in the order of frequency,
    or with all rare ones, or with all that the baseline never had. Missing values come last.
    """

    values: list
    others: frozenset
    is_number: bool

    @classmethod
    def of(cls, baseline: np.ndarray, most: int, *, is_number: bool):
        """Learn the places; None for numbers of more than ``most`` values."""
        if is_number:
            values = np.unique(baseline[np.isfinite(baseline)])
            return cls(values.tolist(), frozenset(), True) if len(values) <= most else None
        counts = pd.Series(baseline).dropna().value_counts()
        names = sorted(counts.index, key=lambda name: (-counts[name], name))
        return cls(names[:most], frozenset(names[most:]), False)

    @property
    def count(self) -> int:
        return (2 * len(self.values) + 1 if self.is_number else len(self.values) + 2) + 1

    @property
    def is_single_value(self) -> np.ndarray:
        """Tell for each place whether no two values share it."""
        if self.is_number:
            return np.array([*(code % 2 == 1 for code in range(self.count - 1)), True])
        return np.array([True] * len(self.values) + [False, False, True])

    def code_of(self, category: str) -> int:
        """Number the place of a category, or of the others or the new ones."""
        named = {"(other)": self.count - 3, "(new)": self.count - 2}
        return named[category] if category in named else self.values.index(category)

    def code(self, values: np.ndarray) -> np.ndarray:
        """Number the place of each value."""
        if self.is_number:
            left = np.searchsorted(self.values, values)
            codes = left + np.searchsorted(self.values, values, side="right")
            return np.where(np.isnan(values), self.count - 1, codes)
        known = {name: code for code, name in enumerate(self.values)}
        known |= dict.fromkeys(self.others, self.count - 3)
        codes = [known.get(value, self.count - 2) for value in values]
        return np.where(pd.isna(values), self.count - 1, codes)


def pooled(
    reference: np.ndarray, current: np.ndarray, is_single_value: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Pool small cells to a rest, which stands alone if it is large, else joins the last cell.

    None where only one cell is left, but for the one value that has all but a few of both sides.
    """
    n_reference, n_current = reference.sum(), current.sum()
    expected = reference * n_current / n_reference
    keeps = (reference >= MIN_CELL) & (expected >= MIN_CELL - 1e-9)
    sides = [side[keeps] for side in (reference, current)]
    rest = [side[~keeps].sum() for side in (reference, current)]
    is_large = expected[~keeps].sum() >= MIN_CELL - 1e-9 or rest[1] >= MIN_CELL
    if is_large or not keeps.any():
        sides = [np.append(side, more) for side, more in zip(sides, rest, strict=True)]
    else:
        for side, more in zip(sides, rest, strict=True):
            side[-1] += more
    if len(sides[0]) == 1:
        largest = np.argmax(reference + current)
        others = max(side.sum() - side[largest] for side in (reference, current))
        if others >= MIN_CELL or not is_single_value[largest]:
            return None
    return tuple(sides)


def psi(reference: np.ndarray, current: np.ndarray) -> float:
    """Population stability index of the counts of two sides."""
    shares = [np.maximum(side / side.sum(), PSI_FLOOR) for side in (reference, current)]
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
