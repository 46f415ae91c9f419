"""The optimum of each problem, by trying every set of active tasks: slow, and with nothing in common with our solvers.

All of it works on the rows themselves and not on their Gramian, so that it keeps twice the digits. Rows must not be 0.
"""

import itertools

import numpy as np


def supports(count):
    """All sets of tasks but the empty one."""
    for size in range(1, count + 1):
        yield from map(list, itertools.combinations(range(count), size))


def shortest_in_hull(rows):
    """The shortest vector in the convex hull of the rows."""
    best = rows[np.argmin(np.linalg.norm(rows, axis=1))]
    for support in supports(len(rows)):
        first, others = rows[support[0]], rows[support[1:]]
        if len(others):
            # w_1 = 1 - sum of the others: the least |first + sum w_i (g_i - first)|
            edges = (others - first).T
            lengths = np.linalg.norm(edges, axis=0)
            if not lengths.all():
                continue
            shares = np.linalg.lstsq(edges / lengths, -first, rcond=None)[0] / lengths
            if shares.min() < 0 or shares.sum() > 1:
                continue
            candidate = first + edges @ shares
            if np.linalg.norm(candidate) < np.linalg.norm(best):
                best = candidate
    return best


def nearest_harmless(rows, target):
    """The nearest point to `target` whose products with all rows are at least 0."""
    units = rows / np.linalg.norm(rows, axis=1)[:, None]
    slack = 1e-11 * np.linalg.norm(target)
    best, distance = np.zeros_like(target), np.linalg.norm(target)
    if (units @ target).min() >= -slack:
        return target
    for support in supports(len(rows)):
        walls = units[support]
        candidate = target - np.linalg.lstsq(walls, walls @ target, rcond=None)[0]
        if (units @ candidate).min() >= -slack and np.linalg.norm(candidate - target) < distance:
            best, distance = candidate, np.linalg.norm(candidate - target)
    return best


def best_worst_case(rows, centre, radius):
    """The point of the ball around `centre` whose least product with the rows is greatest."""
    best, worst = centre, (rows @ centre).min()
    for support in supports(len(rows)):
        # d = centre + s + t q is where all rows of the support have the product t, nearest to the centre
        lengths = np.linalg.norm(rows[support], axis=1)
        units = rows[support] / lengths[:, None]
        if np.linalg.matrix_rank(units, tol=1e-9) < len(support):
            continue
        start = np.linalg.lstsq(units, -units @ centre, rcond=None)[0]
        speed = np.linalg.lstsq(units, lengths.min() / lengths, rcond=None)[0]
        square, cross = speed @ speed, speed @ start
        under_root = cross**2 - square * (start @ start - radius**2)
        if under_root < 0:
            continue
        for sign in (-1, 1):
            candidate = centre + start + speed * (-cross + sign * np.sqrt(under_root)) / square
            if (rows @ candidate).min() > worst:
                best, worst = candidate, (rows @ candidate).min()
    return best
