"""The DuckDB functions give what scipy and scikit-learn give, and null where there is nothing."""

import math

import duckdb
import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference, demographic_parity_ratio
from scipy.spatial.distance import jensenshannon
from scipy.stats import binomtest, chi2, chi2_contingency, ks_2samp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from functions import FUNCTIONS, SHORT_NAMES, Plugin
from tests.documents import DOCS, queries


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect() as connection:
        Plugin.__new__(Plugin).configure_connection(connection)
        yield connection


def value(connection, expression):
    ((result,),) = connection.execute(f"select {expression}").fetchall()
    return result


def expanded(negatives, positives):
    """Labels and scores of which these are the counts by score."""
    labels = np.repeat([0, 1], [sum(negatives), sum(positives)])
    scores = np.concatenate(
        [np.repeat(np.arange(len(side)), side) for side in (negatives, positives)]
    )
    return labels, scores


def test_functions_agree_with_the_libraries(connection):
    rng = np.random.default_rng(3)
    for _ in range(50):
        size = rng.integers(2, 30)
        first, second = rng.integers(1, 200, (2, size)).tolist()
        shares = [np.array(side) / sum(side) for side in (first, second)]
        labels, scores = expanded(first, second)
        oracle = {
            "psi": ((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum(),
            "js_distance": jensenshannon(*shares, base=2),
            "ks_statistic": np.abs(np.cumsum(shares[0]) - np.cumsum(shares[1])).max(),
            "chi_square_pvalue": chi2_contingency([first, second], correction=False).pvalue,
            "roc_auc": roc_auc_score(labels, scores),
            "average_precision": average_precision_score(labels, scores),
        }
        for name, expected in oracle.items():
            assert value(connection, f"{name}({first}, {second})") == pytest.approx(
                expected, rel=1e-9, abs=1e-12
            ), name


def test_calibration_and_intervals(connection):
    # Bins [0, .2) ... [.8, 1] of the scores .1, .3, .9, .7, .2, .8 with the labels 0 0 1 1 0 1.
    found = value(
        connection,
        "expected_calibration_error([1, 2, 0, 1, 2], [0.1, 0.5, 0.0, 0.7, 1.7], [0, 0, 0, 1, 2])",
    )
    assert found == pytest.approx(0.20)
    interval = binomtest(7, 20).proportion_ci(method="wilson")
    assert value(connection, "wilson_lower(7, 20)") == pytest.approx(interval.low)
    assert value(connection, "wilson_upper(7, 20)") == pytest.approx(interval.high)


def test_tests_of_drift_agree_with_scipy(connection):
    rng = np.random.default_rng(4)
    for _ in range(30):
        size = rng.integers(2, 12)
        first, second = rng.integers(0, 40, (2, size)).tolist()
        first[0] += 1
        second[-1] += 1
        values = [np.repeat(np.arange(size), side) for side in (first, second)]
        used = [(a, b) for a, b in zip(first, second, strict=True) if a + b]
        scale = 1 / sum(first) + 1 / sum(second)
        found = {
            name: value(connection, f"{name}({first}, {second})")
            for name in ("ks_pvalue", "chi_square", "psi_noise_floor", "psi_noise_q95")
        }
        assert found == {
            "ks_pvalue": pytest.approx(ks_2samp(*values, method="asymp").pvalue, rel=1e-6),
            "chi_square": pytest.approx(
                chi2_contingency(np.transpose(used), correction=False).statistic, abs=1e-9
            ),
            "psi_noise_floor": pytest.approx((len(used) - 1) * scale),
            "psi_noise_q95": pytest.approx(chi2.ppf(0.95, len(used) - 1) * scale),
        }


def test_auc_interval_is_delongs(connection):
    """Placements by comparing every pair."""
    negatives, positives = [20, 15, 5, 2], [1, 4, 12, 18]
    labels, scores = expanded(negatives, positives)
    above = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    won = (above > 0) + (above == 0) / 2
    deviation = math.sqrt(
        won.mean(axis=1).var(ddof=1) / len(won) + won.mean(axis=0).var(ddof=1) / won.shape[1]
    )
    for name, sign in (("roc_auc_lower", -1), ("roc_auc_upper", 1)):
        assert value(connection, f"{name}({negatives}, {positives})") == pytest.approx(
            won.mean() + sign * 1.959963984540054 * deviation
        )


def test_calibration_line_is_logistic_regression(connection):
    scores, negatives, positives = [0.1, 0.3, 0.6, 0.9], [70, 50, 30, 9], [15, 20, 30, 60]
    labels, bins = expanded(negatives, positives)
    log_odds = np.log(np.array(scores) / (1 - np.array(scores)))[bins]
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(log_odds[:, None], labels)
    arguments = f"{scores}, {negatives}, {positives}"
    assert value(connection, f"calibration_slope({arguments})") == pytest.approx(
        fit.coef_[0, 0], rel=1e-5
    )
    assert value(connection, f"calibration_intercept({arguments})") == pytest.approx(
        fit.intercept_[0], abs=1e-5
    )


def test_errors_of_calibration_by_hand(connection):
    bins = "[60, 100, 10], [12.0, 50.0, 9.0], [20, 45, 0]"
    # Of the bins with 50 labels or more the first is the worst: |20 - 12| / 60.
    assert value(connection, f"mce({bins})") == pytest.approx(8 / 60)
    assert value(connection, f"ece({bins})") == pytest.approx((8 + 5 + 9) / 170)
    floor = math.sqrt(2 / math.pi) * (math.sqrt(9.6) + math.sqrt(25)) / 160
    assert value(connection, "ece_noise_floor([60, 100], [9.6, 25.0])") == pytest.approx(floor)


def test_groups_agree_with_fairlearn(connection):
    successes, trials = [30, 45, 20, 0], [100, 100, 80, 0]
    groups = np.repeat(np.arange(4), trials)
    chosen = np.concatenate(
        [np.arange(n) < k for k, n in zip(successes, trials, strict=True)]
    ).astype(int)
    oracle = {"sensitive_features": groups}
    arguments = f"{successes}, {trials}"
    assert value(connection, f"rate_gap({arguments})") == pytest.approx(
        demographic_parity_difference(chosen, chosen, **oracle)
    )
    assert value(connection, f"rate_ratio({arguments})") == pytest.approx(
        demographic_parity_ratio(chosen, chosen, **oracle)
    )
    lower, upper = (
        value(connection, f"rate_gap_{side}({arguments})") for side in ("lower", "upper")
    )
    assert 0 < lower < 0.2 < upper < 1
    # Of two groups, the bounds are Newcombe's.
    two = value(connection, "rate_gap_lower([30, 45], [100, 100])")
    assert two == pytest.approx(value(connection, "newcombe_lower(45, 100, 30, 100)"))
    two = value(connection, "rate_gap_upper([30, 45], [100, 100])")
    assert two == pytest.approx(value(connection, "newcombe_upper(45, 100, 30, 100)"))


def test_short_names_mean_the_long_ones(connection):
    arguments = {"ece": "[9, 7], [1.0, 6.0], [2, 5]", "mce": "[90, 70], [1.0, 6.0], [2, 5]"}
    for short, long in SHORT_NAMES.items():
        given = arguments.get(short, "[5, 3, 1], [1, 3, 5]")
        found = value(connection, f"{short}({given})")
        assert found is not None
        assert found == value(connection, f"{long}({given})")


def examples():
    """Give the query and the result of each example of docs/functions.md."""
    for block in queries((DOCS / "functions.md").read_text()):
        query, _, result = block.strip().rpartition("\n-- ")
        yield query, None if result == "null" else float(result)


@pytest.mark.parametrize(("query", "result"), list(examples()))
def test_the_examples_of_the_page_hold(connection, query, result):
    ((found,),) = connection.execute(query).fetchall()
    assert found == (None if result is None else pytest.approx(result, abs=5e-5))


def test_the_page_names_every_function():
    page = (DOCS / "functions.md").read_text()
    assert [name for name in [*FUNCTIONS, *SHORT_NAMES] if f"`{name}" not in page] == []


@pytest.mark.parametrize("name", ["psi", "js_distance", "ks_statistic", "roc_auc"])
def test_rows_of_a_table_are_computed_alone(connection, name):
    """Lists of several lengths, null and empty ones side by side."""
    rng = np.random.default_rng(5)
    lists = [rng.integers(0, 50, (2, size)).tolist() for size in (1, 3, 10, 2) * 20]
    lists += [[None, [1, 2]], [[1], None], [[], []], [[0, 0], [1, 2]]]
    alone = [value(connection, f"{name}({a}, {b})".replace("None", "null")) for a, b in lists]
    rows = ", ".join(f"({i}, {a}, {b})".replace("None", "null") for i, (a, b) in enumerate(lists))
    together = connection.execute(
        f"select {name}(a, b) from (values {rows}) as lists (i, a, b) order by i"
    ).fetchall()
    assert [found for (found,) in together] == alone
    assert alone[-4:] == [None] * 4


def test_wrong_lists_are_refused_by_name(connection):
    with pytest.raises(duckdb.Error, match="psi: the lists of one call must be equally long"):
        value(connection, "psi([1, 2], [1])")
    with pytest.raises(duckdb.Error, match="roc_auc: a list holds a null"):
        value(connection, "roc_auc([1, null], [1, 2])")
    with pytest.raises(duckdb.Error, match="negative"):
        value(connection, "roc_auc([1, -2], [1, 2])")


def test_every_function_is_described():
    import functions

    for name in FUNCTIONS:
        assert f"``{name}(" in functions.__doc__
