"""The DuckDB functions give what scipy and scikit-learn give, and null where there is nothing."""

import duckdb
import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import binomtest, chi2_contingency
from sklearn.metrics import average_precision_score, roc_auc_score

from functions import FUNCTIONS, Plugin


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
