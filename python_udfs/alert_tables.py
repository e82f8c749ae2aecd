"""Between Arrow tables of judged windows and the arrays of ``alerts``."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, product

import numpy as np
import pyarrow as pa

from alerts import NONE, Episodes, Evaluations, all_hold, find_episodes
from arrow_tables import SERIES, table_of

LINE = ("alert_name", *SERIES, "feature")
ALERT_LINES = pa.schema(
    [
        *[pa.field(name, pa.string()) for name in LINE],
        pa.field("state", pa.string()),
        pa.field("started_at", pa.timestamp("us")),
        pa.field("fired_at", pa.timestamp("us")),
        pa.field("resolved_at", pa.timestamp("us")),
        pa.field("is_expired", pa.bool_()),
        pa.field("breached_windows", pa.int64()),
        pa.field("worst_value", pa.float64()),
        pa.field("last_value", pa.float64()),
        pa.field("window_start", pa.timestamp("us")),
        pa.field("window_end", pa.timestamp("us")),
    ]
)


@dataclass(frozen=True)
class Lines:
    """What some rules watch, and in which windows they were judged.

    Attributes
    ----------
    key : ndarray of int, shape (n_lines,)
        A key of the line: it says which alert it is of.
    about : list of (slice_key, slice_value, feature), length n_lines
        What tells it from others.
    line : ndarray of int, shape (n_evaluations,)
        The line of each evaluation, rising.
    row, value_row : ndarray of int, shape (n_evaluations,)
        The window that was judged, and that of the rule's first condition.
    is_breached : ndarray of bool, shape (n_evaluations,)
        Whether all conditions held.
    expires_at : ndarray of int, shape (n_evaluations,)
    """

    key: np.ndarray
    about: list[tuple[str, str, str]]
    line: np.ndarray
    row: np.ndarray
    value_row: np.ndarray
    is_breached: np.ndarray
    expires_at: np.ndarray


def alert_lines(windows: pa.Table, keys: pa.Table, rules: pa.Table, *, as_of: int) -> pa.Table:
    """Find when each line of each alert was pending and firing.

    Parameters
    ----------
    windows : Table
        The judged windows of all conditions, in the order of ``key_hash``, ``condition_number`` and
        ``evaluated_at``: these, ``window`` (its place in its calendar), ``step_minutes``,
        ``window_start``, ``window_end``, ``breached_since``, ``expires_at`` (times in
        microseconds), ``compared_value`` and ``is_breached``.
    keys : Table
        What each ``key_hash`` and ``condition_number`` stands for, in the same order:
        ``alert_name``, the columns of ``SERIES``, ``line_feature`` (empty where the rule names no
        wildcard) and ``feature``.
    rules : Table
        For each condition of each ``alert_name`` and ``model_name``, in this order:
        ``comparator``, ``breach_windows``, ``evaluation_windows``, ``resolve_windows``.
    as_of : int
        Now, in microseconds.

    Returns
    -------
    Table
        With the schema ``ALERT_LINES``. ``worst_value`` and ``last_value`` are of the rule's
        first condition.

    Raises
    ------
    ValueError
        If windows and keys do not fit, as where two keys had one hash.
    """
    columns = {name: windows[name].to_numpy() for name in windows.column_names}
    starts = np.flatnonzero(
        np.append(True, np.diff(columns["key_hash"]) != 0)
        | np.append(True, np.diff(columns["condition_number"]) != 0)
    )[: windows.num_rows or 0]
    if len(starts) != keys.num_rows:
        raise ValueError(f"{len(starts)} series of windows for {keys.num_rows} keys")
    if not len(starts):
        return ALERT_LINES.empty_table()
    stops = np.append(starts[1:], windows.num_rows)

    rule_rows = rules.to_pylist()
    conditions: dict[tuple[str, str], list[int]] = {}
    rule_of: dict[tuple[str, str], dict] = {}
    for rule in rule_rows:
        name = rule["alert_name"], rule["model_name"]
        conditions.setdefault(name, []).append(rule["condition_number"])
        rule_of.setdefault(name, rule)
    key_rows = keys.to_pylist()
    names = [(key["alert_name"], key["model_name"]) for key in key_rows]

    is_single = np.array([len(conditions[name]) == 1 for name in names])
    parts = [single_conditions(np.flatnonzero(is_single), key_rows, starts, stops, columns)]
    compound = sorted(
        np.flatnonzero(~is_single).tolist(),
        key=lambda key: (*names[key], key_rows[key]["model_version"], key_rows[key]["role"]),
    )
    for group, members in groupby(
        compound,
        key=lambda key: (*names[key], key_rows[key]["model_version"], key_rows[key]["role"]),
    ):
        part = compound_conditions(
            list(members), key_rows, conditions[group[:2]], starts, stops, columns
        )
        if part is not None:
            parts.append(part)
    lines = joined(parts)

    def of_line(name: str) -> np.ndarray:
        return np.array([rule_of[names[key]][name] for key in lines.key.tolist()], int)

    episodes = find_episodes(
        Evaluations(
            line=lines.line,
            window=columns["window"][lines.row],
            evaluated_at=columns["evaluated_at"][lines.row],
            expires_at=lines.expires_at,
            is_breached=lines.is_breached,
        ),
        breach_windows=of_line("breach_windows"),
        evaluation_windows=of_line("evaluation_windows"),
        resolve_windows=of_line("resolve_windows"),
        as_of=as_of,
    )
    is_falling = np.array(
        [rule_of[names[key]]["comparator"].startswith("<") for key in lines.key.tolist()], bool
    )
    return episode_table(episodes, lines, is_falling, columns, keys)


def single_conditions(
    keys: np.ndarray,
    key_rows: list[dict],
    starts: np.ndarray,
    stops: np.ndarray,
    columns: dict[str, np.ndarray],
) -> Lines:
    """Lines of the alerts of one condition: each of their keys is one."""
    row = ranges(starts[keys], stops[keys])
    return Lines(
        key=keys,
        about=[
            (row["slice_key"], row["slice_value"], row["feature"])
            for row in (key_rows[key] for key in keys.tolist())
        ],
        line=np.repeat(np.arange(len(keys)), (stops - starts)[keys]),
        row=row,
        value_row=row,
        is_breached=columns["is_breached"][row].astype(bool),
        expires_at=columns["expires_at"][row],
    )


def compound_conditions(
    keys: list[int],
    key_rows: list[dict],
    conditions: list[int],
    starts: np.ndarray,
    stops: np.ndarray,
    columns: dict[str, np.ndarray],
) -> Lines | None:
    """Lines of one alert of several conditions, for one version and role.

    A condition about the whole model counts for each slice and feature of the others. None
    where a condition was never judged: then nothing can be said of all.
    """
    found: dict[int, dict[tuple, int]] = {condition: {} for condition in conditions}
    for key in keys:
        row = key_rows[key]
        about = (row["slice_key"], row["slice_value"]), row["line_feature"]
        found[int(columns["condition_number"][starts[key]])][about] = key
    if not all(found.values()):
        return None

    whole = ("all", "all"), ""
    # Which slices and features are in every condition that is about some?
    is_sliced = {c: any(about[0] != whole[0] for about in found[c]) for c in conditions}
    is_by_feature = {c: any(about[1] for about in found[c]) for c in conditions}
    slices = common([{about[0] for about in found[c]} for c in conditions if is_sliced[c]])
    features = common([{about[1] for about in found[c]} for c in conditions if is_by_feature[c]])

    def key_of(condition: int, about: tuple) -> int:
        return found[condition].get(
            (
                about[0] if is_sliced[condition] else whole[0],
                about[1] if is_by_feature[condition] else "",
            ),
            NONE,
        )

    abouts = [
        about
        for about in product(sorted(slices or {whole[0]}), sorted(features or {""}))
        if all(key_of(condition, about) != NONE for condition in conditions)
    ]
    if not abouts:
        return None
    key_of_line = {c: np.array([key_of(c, about) for about in abouts]) for c in conditions}
    # The one that is judged most often says when all are.
    step = {c: columns["step_minutes"][starts[key_of_line[c][0]]] for c in conditions}
    driver = min(conditions, key=lambda c: (step[c], c))
    others = [c for c in conditions if c != driver]

    driving = key_of_line[driver]
    row = ranges(starts[driving], stops[driving])
    line = np.repeat(np.arange(len(abouts)), (stops - starts)[driving])
    rows_of, tables = {}, []
    for condition in others:
        used = np.unique(key_of_line[condition])
        rows = ranges(starts[used], stops[used])
        rows_of[condition] = rows
        tables.append(
            (
                np.searchsorted(used, key_of_line[condition]),
                np.repeat(np.arange(len(used)), (stops - starts)[used]),
                columns["evaluated_at"][rows],
                columns["expires_at"][rows],
                columns["is_breached"][rows].astype(bool),
            )
        )
    state, positions = all_hold(
        line, columns["evaluated_at"][row], columns["is_breached"][row].astype(bool), tables
    )
    expires_at, value_row = columns["expires_at"][row], row
    for condition, position in zip(others, positions, strict=True):
        counted = rows_of[condition][position]
        is_known = position != NONE
        expires_at = np.where(
            is_known, np.minimum(expires_at, columns["expires_at"][counted]), expires_at
        )
        if condition == conditions[0]:
            # A clean window may be so without it: then there is no value.
            value_row = np.where(is_known, counted, NONE)
    is_judged = state != NONE
    first = key_of_line[conditions[0]]
    return Lines(
        key=first,
        # The feature that the first condition is about says more than none.
        about=[
            (*slice_, feature or key_rows[key]["feature"])
            for (slice_, feature), key in zip(abouts, first.tolist(), strict=True)
        ],
        line=line[is_judged],
        row=row[is_judged],
        value_row=value_row[is_judged],
        is_breached=state[is_judged] == 1,
        expires_at=expires_at[is_judged],
    )


def episode_table(
    episodes: Episodes,
    lines: Lines,
    is_falling: np.ndarray,
    columns: dict[str, np.ndarray],
    keys: pa.Table,
) -> pa.Table:
    """Write the episodes down, with the values that they reached."""
    first, last = episodes.first, episodes.last
    line = lines.line[first]
    value = np.where(
        lines.value_row == NONE, np.nan, columns["compared_value"][lines.value_row]
    ).astype(float)
    sign = np.where(is_falling, -1.0, 1.0)
    bounds = np.column_stack([first, last + 1]).ravel()
    # fmax passes over NaN; one more element, since the last bound is the end.
    worst = np.fmax.reduceat(np.append(sign[lines.line] * value, np.nan), bounds)[::2]
    breached = np.add.reduceat(np.append(lines.is_breached, False).astype(int), bounds)[::2]
    row, is_pending = lines.row, episodes.fired == NONE
    last_row = row[last]
    moments = {
        "started_at": (columns["breached_since"][row[first]], np.ones(len(first), bool)),
        "fired_at": (columns["evaluated_at"][row[episodes.fired]], ~is_pending),
        "resolved_at": (
            np.where(
                episodes.is_expired, lines.expires_at[last], columns["evaluated_at"][last_row]
            ),
            episodes.is_resolved,
        ),
        "window_start": (columns["window_start"][last_row], np.ones(len(first), bool)),
        "window_end": (columns["window_end"][last_row], np.ones(len(first), bool)),
    }
    named = keys.take(pa.array(lines.key[line], pa.int64()))
    abouts = [lines.about[number] for number in line.tolist()]
    return table_of(
        {name: named[name] for name in ("alert_name", *SERIES[:3])}
        | {
            name: pa.array([about[place] for about in abouts], pa.string())
            for place, name in enumerate(("slice_key", "slice_value", "feature"))
        }
        | {
            "state": np.select(
                [is_pending, episodes.is_resolved], ["pending", "resolved"], "firing"
            ).astype(object),
            "is_expired": episodes.is_expired,
            "breached_windows": breached,
            "worst_value": sign[line] * worst,
            "last_value": value[last],
        }
        | {
            name: pa.array(np.where(known, at, 0), pa.int64(), mask=~known).cast(pa.timestamp("us"))
            for name, (at, known) in moments.items()
        },
        ALERT_LINES,
        len(first),
    )


def common(sets: list[set]) -> set:
    """Return what all sets have in common; nothing of none."""
    return set.intersection(*sets) if sets else set()


def ranges(starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Join the integers from each start to before its stop."""
    lengths = stops - starts
    offsets = np.repeat(starts - np.append(0, np.cumsum(lengths)[:-1]), lengths)
    return offsets + np.arange(lengths.sum())


def joined(parts: list[Lines]) -> Lines:
    """Join parts, their lines numbered one after the other."""
    offsets = np.cumsum([0, *(len(part.key) for part in parts)])[:-1]
    return Lines(
        key=np.concatenate([part.key for part in parts]),
        about=[about for part in parts for about in part.about],
        line=np.concatenate(
            [part.line + offset for part, offset in zip(parts, offsets, strict=True)]
        ),
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("row", "value_row", "is_breached", "expires_at")
        },
    )
