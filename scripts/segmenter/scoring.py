"""Overlap, rank correlation and intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

DRAWS = 2000
Interval = tuple[float, float, float]
"""A figure and the 2.5th and 97.5th percentile of its draws."""


def overlap(found: np.ndarray, real: np.ndarray) -> tuple[float, float, float]:
    """IoU, Dice, and the share of what is real that was found."""
    both, one = int((found & real).sum()), int((found | real).sum())
    sizes = int(found.sum()) + int(real.sum())
    return both / max(one, 1), 2 * both / max(sizes, 1), both / max(int(real.sum()), 1)


def ends(draws: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of what was drawn."""
    drawn = draws[np.isfinite(draws)]
    low, high = np.percentile(drawn, [2.5, 97.5]) if drawn.size else (np.nan, np.nan)
    return float(low), float(high)


def mean_interval(values: np.ndarray, groups: Sequence[str], seed: int = 1) -> Interval:
    """The mean, and its bootstrap interval: whole groups (copies and slices of one patient)
    are drawn, since what is in one is not independent."""
    order = np.unique(np.asarray(groups), return_inverse=True)[1]
    sizes, sums = np.bincount(order), np.bincount(order, values)
    count = len(sizes)
    random = np.random.default_rng(seed)
    times = random.multinomial(count, np.full(count, 1 / count), DRAWS)
    return float(np.mean(values)), *ends((times @ sums) / (times @ sizes))


def interval(
    values: Sequence[np.ndarray],
    groups: Sequence[str],
    figure: Callable[..., float],
    seed: int = 1,
    draws: int = 500,
) -> Interval:
    """The same for any figure of several arrays."""
    order = np.unique(np.asarray(groups), return_inverse=True)[1]
    members = [np.flatnonzero(order == g) for g in range(order.max() + 1)]
    random = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        drawn = np.concatenate([members[g] for g in random.integers(0, len(members), len(members))])
        found.append(figure(*(a[drawn] for a in values)))
    return float(figure(*values)), *ends(np.array(found))


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's; nothing to be said of fewer than three or of equal values."""
    # Only here: whoever wants overlap alone need not have it.
    from scipy import stats

    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(stats.spearmanr(a, b).statistic)


def area_under_curve(score: np.ndarray, there: np.ndarray) -> float:
    """Of a score that should be higher where something is there."""
    from scipy import stats

    some, none = int(there.sum()), int((~there).sum())
    if not some or not none:
        return float("nan")
    ranks = stats.rankdata(score)[there].sum()
    return float((ranks - some * (some + 1) / 2) / (some * none))
