"""What pages of the report choose to show."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from report.pages.drift import moved_most
from report.pages.overview import least_budget

LINES = st.lists(
    st.builds(
        lambda name, states, ratios: {
            "slice": ["country", name], "states": states, "ratios": ratios[: len(states)]
        },
        st.sampled_from("abcdefgh"),
        st.text("snmib", min_size=1, max_size=6),
        st.lists(st.none() | st.floats(0, 50), min_size=6, max_size=6),
    ),
    max_size=20,
)  # fmt: skip


@given(LINES, st.integers(0, 8))
def test_the_slices_that_moved_most_stay_with_all_their_lines(lines, limit):
    kept, left_out = moved_most(lines, limit)
    names = {line["slice"][1] for line in kept}
    assert kept == [line for line in lines if line["slice"][1] in names]
    assert len(names) + left_out == len({line["slice"][1] for line in lines})
    assert len(names) <= limit
    significant = Counter()
    for line in lines:
        significant[line["slice"][1]] += line["states"].count("s")
    others = [count for name, count in significant.items() if name not in names]
    if names and others:
        assert min(significant[name] for name in names) >= max(others)


def test_among_slices_alike_the_largest_ratio_counts():
    lines = [
        {"slice": ["country", name], "states": "s", "ratios": [ratio]}
        for name, ratio in [("a", 2.0), ("b", 7.0), ("c", None)]
    ]
    kept, left_out = moved_most(lines, 1)
    assert [line["slice"][1] for line in kept] == ["b"] and left_out == 2


def test_the_least_budget_is_of_those_that_are_known():
    slos = [{"error_budget_remaining": value} for value in (None, 0.4, -0.2, 1.0)]
    assert least_budget(slos) is slos[2]
    assert least_budget(slos[:1]) is None
    assert least_budget([]) is None
