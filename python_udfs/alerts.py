"""When alerts fire and resolve: X of the last Y windows breach, Z clean ones in a row resolve.

The windows of many lines are handled at once. A line is what one rule watches: a slice value, a
feature, or the model as a whole. Its evaluations are the windows that could be judged; windows
that could not (too few requests, immature labels) are neither breached nor clean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NONE = -1


@dataclass(frozen=True)
class Evaluations:
    """Judged windows, in the order of their lines and, within a line, of time.

    All arrays have the shape (n_evaluations,); times are integers in a unit of your choice.

    Attributes
    ----------
    line : ndarray of int
        Which line a window belongs to, rising.
    window : ndarray of int
        The place of the window in its calendar, such as the day since 1970: windows that could
        not be judged leave a gap.
    evaluated_at : ndarray of int
        The earliest moment at which the window could be judged, rising within a line.
    expires_at : ndarray of int
        From when on the window says nothing of how things are.
    is_breached : ndarray of bool
    """

    line: np.ndarray
    window: np.ndarray
    evaluated_at: np.ndarray
    expires_at: np.ndarray
    is_breached: np.ndarray


@dataclass(frozen=True)
class Episodes:
    """Stretches of time in which lines were pending or firing, in the order of the evaluations.

    All arrays have the shape (n_episodes,) and hold positions in the evaluations.

    Attributes
    ----------
    first : ndarray of int
        The first of the breaches that made the line fire, or may yet do so.
    fired : ndarray of int
        The breach with which it fired; ``NONE`` for a line that is pending.
    last : ndarray of int
        The newest evaluation that the episode reaches to: where it is over, the clean one that
        resolved it or the last one before nothing more could be judged.
    is_resolved : ndarray of bool
        By clean windows, or because it expired.
    is_expired : ndarray of bool
        Nothing could be judged any more: resolved at ``expires_at`` of the last evaluation.
    """

    first: np.ndarray
    fired: np.ndarray
    last: np.ndarray
    is_resolved: np.ndarray
    is_expired: np.ndarray


def find_episodes(
    evaluations: Evaluations,
    *,
    breach_windows: np.ndarray,
    evaluation_windows: np.ndarray,
    resolve_windows: np.ndarray,
    as_of: int,
) -> Episodes:
    """Find when lines fired and when they were resolved.

    A line fires with the evaluation that makes ``breach_windows`` breaches among the last
    ``evaluation_windows`` windows of the calendar, and is resolved by ``resolve_windows`` clean
    evaluations in a row. Then counting begins anew. Where a window expires before the next one is
    judged, the line is resolved and what was counted is forgotten.

    A line is pending at ``as_of`` if it does not fire, breaches among its last
    ``evaluation_windows`` windows still count, and its end is not clean.

    Parameters
    ----------
    evaluations : Evaluations
    breach_windows, evaluation_windows, resolve_windows : ndarray of int, shape (n_lines,)
        X, Y and Z of each line; 1 <= X <= Y and 1 <= Z.
    as_of : int
        Now, not before any ``evaluated_at``.

    Returns
    -------
    Episodes
        The cost is that of the evaluations, and of the most episodes that a line has.

    Raises
    ------
    ValueError
        If not 1 <= X <= Y or not 1 <= Z.
    """
    if np.any(breach_windows < 1) or np.any(breach_windows > evaluation_windows):
        raise ValueError("breach_windows must be from 1 to evaluation_windows")
    if np.any(resolve_windows < 1):
        raise ValueError("resolve_windows must be at least 1")
    size = len(evaluations.line)
    if not size:
        nothing = np.array([], int)
        return Episodes(nothing, nothing, nothing, nothing.astype(bool), nothing.astype(bool))
    places = np.arange(size)
    required = np.asarray(breach_windows)[evaluations.line]
    within = np.asarray(evaluation_windows)[evaluations.line]
    clean_required = np.asarray(resolve_windows)[evaluations.line]

    # A stretch is a part of a line without a gap in what is known.
    begins = np.ones(size, bool)
    begins[1:] = (evaluations.line[1:] != evaluations.line[:-1]) | (
        evaluations.expires_at[:-1] < evaluations.evaluated_at[1:]
    )
    stretch = np.cumsum(begins) - 1
    stretch_start = np.flatnonzero(begins)
    stretch_end = np.append(stretch_start[1:], size) - 1
    is_over = evaluations.expires_at[stretch_end] <= as_of
    is_over[:-1] |= evaluations.line[stretch_end[:-1]] == evaluations.line[stretch_start[1:]]

    # Where is a stretch clean for long enough? The clean evaluations since its last breach.
    since = np.maximum.accumulate(np.where(evaluations.is_breached | begins, places, 0))
    clean_count = places - since + (~evaluations.is_breached[since])
    is_clean = clean_count >= clean_required
    next_clean = next_true(is_clean)

    # From which breach do X of Y follow?
    breach = np.flatnonzero(evaluations.is_breached)
    n_breaches = len(breach)
    completing = np.arange(n_breaches) + required[breach] - 1
    completed_by = breach[np.minimum(completing, n_breaches - 1)]
    is_enough = (
        (completing < n_breaches)
        & (stretch[completed_by] == stretch[breach])
        & (evaluations.window[completed_by] - evaluations.window[breach] < within[breach])
    )
    next_enough = next_true(is_enough)

    # All stretches go from one episode to their next at the same time.
    found = []
    cursor = np.searchsorted(breach, stretch_start)
    at = np.arange(len(stretch_start))
    quiet_from = stretch_start.copy()
    while len(at):
        start = next_enough[np.minimum(cursor, n_breaches)]
        fires = start < n_breaches
        fires[fires] = stretch[breach[start[fires]]] == at[fires]
        at, start = at[fires], start[fires]
        first, fired = breach[start], completed_by[start]
        clean = next_clean[fired]
        is_clean_again = clean <= stretch_end[at]
        found.append(
            (
                first,
                fired,
                np.where(is_clean_again, clean, stretch_end[at]),
                is_clean_again | is_over[at],
                ~is_clean_again & is_over[at],
            )
        )
        quiet_from[at] = np.where(is_clean_again, clean + 1, size)
        at = at[is_clean_again]
        cursor = np.searchsorted(breach, clean[is_clean_again] + 1)

    # What is left to say: which lines may fire soon.
    counted = breach[
        (breach >= quiet_from[stretch[breach]])
        & ~is_over[stretch[breach]]
        & ~is_clean[stretch_end[stretch[breach]]]
        & (
            evaluations.window[breach]
            > evaluations.window[stretch_end[stretch[breach]]] - within[breach]
        )
    ]
    pending = counted[np.unique(stretch[counted], return_index=True)[1]]
    none = np.zeros(len(pending), bool)
    found.append((pending, np.full(len(pending), NONE), stretch_end[stretch[pending]], none, none))
    columns = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return Episodes(*(column[order] for column in columns))


def next_true(is_true: np.ndarray) -> np.ndarray:
    """For each position, and the one after the last, the next one at which something is true.

    Parameters
    ----------
    is_true : ndarray of bool, shape (n,)

    Returns
    -------
    ndarray of int, shape (n + 1,)
        ``n`` where none follows.
    """
    size = len(is_true)
    places = np.where(is_true, np.arange(size), size)
    return np.append(np.minimum.accumulate(places[::-1])[::-1], size)


def all_hold(
    lines: np.ndarray,
    evaluated_at: np.ndarray,
    driver: np.ndarray,
    others: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Whether all conditions of a rule hold, whenever the one that is judged most often is.

    Of each other condition counts the newest evaluation by then that has not expired. The rule is
    breached where all are, clean where one is, and else unknown (Kleene's three values).

    Parameters
    ----------
    lines, evaluated_at : ndarray of int, shape (n_evaluations,)
        The line and the moment of each evaluation of the driving condition.
    driver : ndarray of bool, shape (n_evaluations,)
        Whether the driving condition is breached.
    others : list of tuples
        For each other condition: ``key_of_line`` (ndarray of int, shape (n_lines,): where the
        line finds the condition, -1 for nowhere), and its evaluations in the order of key and
        time: ``key``, ``evaluated_at``, ``expires_at`` (ndarrays of int) and ``is_breached``.

    Returns
    -------
    state : ndarray of int, shape (n_evaluations,)
        1 breached, 0 clean, ``NONE`` unknown.
    positions : list of ndarray of int, shape (n_evaluations,)
        For each other condition the evaluation that counted, ``NONE`` where none did.
    """
    is_clean, is_unknown = ~driver, np.zeros(len(driver), bool)
    positions = []
    for key_of_line, key, other_at, expires_at, is_breached in others:
        wanted = key_of_line[lines]
        # Keys and times in one order: the last evaluation of the key up to the moment.
        moments = np.unique(np.concatenate([other_at, evaluated_at]))
        size = len(moments) + 1
        rank = key * size + np.searchsorted(moments, other_at)
        position = (
            np.searchsorted(rank, wanted * size + np.searchsorted(moments, evaluated_at), "right")
            - 1
        )
        known = (wanted >= 0) & (position >= 0)
        known[known] = key[position[known]] == wanted[known]
        known[known] = expires_at[position[known]] >= evaluated_at[known]
        is_clean[known] |= ~is_breached[position[known]]
        is_unknown |= ~known
        positions.append(np.where(known, position, NONE))
    return np.select([is_clean, is_unknown], [0, NONE], 1), positions


def after_cooldown(series: np.ndarray, at: np.ndarray, cooldown: int) -> np.ndarray:
    """Choose events so that two of a series are at least a cool-down apart.

    Parameters
    ----------
    series, at : ndarray of int, shape (n,)
        Which series an event is of, and when it was; within a series rising.
    cooldown : int
        The least time from one chosen event to the next.

    Returns
    -------
    ndarray of bool, shape (n,)
        The first event of a series is chosen, then each that comes late enough after the last
        chosen one.
    """
    last: dict[int, int] = {}
    chosen = np.zeros(len(series), bool)
    for place, (number, moment) in enumerate(zip(series.tolist(), at.tolist(), strict=True)):
        if number not in last or moment - last[number] >= cooldown:
            last[number] = moment
            chosen[place] = True
    return chosen
