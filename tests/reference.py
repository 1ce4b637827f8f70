"""Naive twins: what the compiled kernels and fused steps must compute, written for obviousness, in float64."""

import itertools
import math

import numpy as np


def take_rows(rows, start, reference, scale, out, filled):
    """Rows from `start` on that are finite, centred, as long as `out` has room."""
    while start < len(rows) and filled < len(out):
        with np.errstate(over="ignore", invalid="ignore"):
            row = ((np.asarray(rows[start], np.float64) - reference) * scale).astype(out.dtype)
        start += 1
        if all(math.isfinite(value) for value in row):
            out[filled] = row
            filled += 1
    return start, filled


def centre_rows(rows, reference):
    """Which rows are finite, and the centred rows, zeros for the others."""
    finite = np.array([all(math.isfinite(value) for value in row) for row in rows], bool)
    centred = (np.asarray(rows, np.float64) - reference).astype(np.float32)
    centred[~finite] = 0
    return finite, centred


def score(y, beta, bias):
    return beta * np.tanh((beta * y + bias) / 2)


def score_block(y, beta, sign, linear):
    """Weighted scores, and the means of ψ′, ψŷ and ŷ²."""
    n, units = y.shape
    psi = np.zeros((n, units))
    means = np.zeros((3, units))
    for i in range(n):
        weight = 1 / math.sqrt(sum(value**2 for value in y[i]) / units + 1e-12)
        for k in range(units):
            value = score(y[i, k], beta, 0.0)
            means[0, k] += beta**2 / 2 * (1 - (value / beta) ** 2) / n
            means[1, k] += value * y[i, k] / n
            means[2, k] += y[i, k] ** 2 / n
            psi[i, k] = sign[k] * weight * (value - linear[k] * y[i, k])
    return psi, means


def scatter(X):
    """Σ x xᵀ."""
    total = np.zeros((X.shape[1], X.shape[1]))
    for x in np.asarray(X, np.float64):
        total += np.outer(x, x)
    return total


def shorten(y, bound):
    """Rows beyond the bound times (b/r)², and every row's r."""
    lengths = np.sqrt(np.mean(y**2, axis=1))
    factors = np.array([(bound / length) ** 2 if length > bound else 1.0 for length in lengths])
    return y * factors[:, None], lengths


def logistic_density(y, beta, bias):
    g = 1 / (1 + math.exp(-(beta * y + bias)))
    return beta * g * (1 - g)


def density_slope(y, beta, bias):
    """φ′ = β φ (1 - 2g)."""
    return beta * logistic_density(y, beta, bias) * (1 - 2 / (1 + math.exp(-(beta * y + bias))))


def overcomplete_block(y, beta, row, unit, linear):
    """ω̂ and the row-weighted sums of φ, -φ′ŷ and ŷ²."""
    n, units = y.shape
    omega = np.zeros((n, units))
    sums = np.zeros((3, units))
    for i in range(n):
        for k in range(units):
            slope = density_slope(y[i, k], beta, 0.0)
            omega[i, k] = row[i] * unit[k] * (slope + linear[k] * y[i, k])
            sums[0, k] += row[i] * logistic_density(y[i, k], beta, 0.0)
            sums[1, k] -= row[i] * slope * y[i, k]
            sums[2, k] += row[i] * y[i, k] ** 2
    return omega, sums


def skew(G, size, rate, floor):
    """T, and the squared lengths of its rows."""
    T = np.zeros(G.shape)
    for i, j in np.ndindex(G.shape):
        T[i, j] = rate * (G[i, j] - G[j, i]) / max(size[i] + size[j], floor)
    return T, (T**2).sum(axis=1)


def tuning_sums(y, beta, bias):
    """Sums of t, tŷ and 1 - t²."""
    sums = np.zeros((3, y.shape[1]))
    for i, k in np.ndindex(y.shape):
        t = np.tanh((beta[k] * y[i, k] + bias[k]) / 2)
        sums[:, k] += t, t * y[i, k], 1 - t**2
    return sums


def unit_columns(T, factor):
    """I + f T with columns of unit length, less I."""
    turned = np.eye(len(T)) + factor * T
    return turned / np.linalg.norm(turned, axis=0) - np.eye(len(T))


def minus_log_density(y, beta):
    return -sum(math.log(logistic_density(value, beta, 0.0)) for row in y for value in row)


def draw_rows(seed, draw, filled, n):
    """splitmix64 in Python's own integers."""
    mask = 2**64 - 1
    state = (seed * 0x9E3779B97F4A7C15 + draw * 0xD1342543DE82EF95) & mask
    out = []
    for _ in range(n):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        z ^= z >> 31
        out.append((z >> 32) * filled >> 32)
    return np.array(out)


def objective_complete(C, x, beta):
    """Q1 (2.83)."""
    return minus_log_density(x @ C, beta) / len(x)


def objective_overcomplete(C, x, beta, row):
    """Q̂ (2.98), the mean over rows with weights that sum to one."""
    zeros = np.zeros(C.shape[1])
    density = overcomplete_block(x @ C, beta, row, zeros, zeros)[1][0]
    return -0.5 * np.linalg.slogdet((C * density**2) @ C.T)[1]


def gradient(function, C, step=1e-6):
    """Central differences of a function of a matrix."""
    out = np.zeros_like(C)
    for index in np.ndindex(C.shape):
        moved = C.copy()
        moved[index] += step
        up = function(moved)
        moved[index] -= 2 * step
        out[index] = (up - function(moved)) / (2 * step)
    return out


def covariance(rows):
    rows = np.asarray(rows, np.float64)
    centred = rows - rows.mean(axis=0)
    return centred.T @ centred / len(rows)


def polar(C):
    values, vectors = np.linalg.eigh(C @ C.T)
    return vectors @ np.diag(values**-0.5) @ vectors.T @ C


def nearest_rotation(dewhiten, filters):
    """The C with C Cᵀ = I whose whitening V of Wᵀ = Cᵀ Vᵀ (K1, K) is nearest to a present one, given as ΣV (K, K0).

    The distance is that of Vᵀx over rows of the present covariance: ⟨‖(V - V')ᵀ x‖²⟩, least where tr(V'ᵀ Σ V) is most.
    """
    left, sizes, right = np.linalg.svd(filters.T, full_matrices=False)
    rank = dewhiten.shape[1]
    some = left[:, :rank] * sizes[:rank]  # one of the whitenings: the others are turned
    u, _, v = np.linalg.svd(some.T @ dewhiten)
    turn = u @ v  # orthogonal Procrustes
    return turn.T @ right[:rank]


def histogram(Y, cells):
    """Finite rows counted in cells of equal width in y / (1 + |y|/2), one histogram a column."""
    counts = np.zeros((Y.shape[1], cells), int)
    edges = np.linspace(-2, 2, cells + 1)
    for row in Y[np.isfinite(Y).all(axis=1)]:
        for k, y in enumerate(row):
            counts[k, np.searchsorted(edges, y / (1 + abs(y) / 2), side="right") - 1] += 1
    return counts


def information(Y, slope, strength):
    """Σ -ln φ and the bits ½ Σ log2(1 + strength φ²) of rows."""
    phi = [slope / (4 * math.cosh(slope * y / 2) ** 2) for row in Y for y in row]  # exact far out, too
    return -sum(math.log(value) for value in phi), sum(math.log2(1 + strength * value**2) for value in phi) / 2


def robust_moments(values, most, bound=8.0, start=32, piece=64):
    """Mean and variance of one channel, given as one block of rows, held at the bound before they enter."""
    first = np.array(values[:start])
    centre = np.median(first)
    reach = bound * 1.4826 * np.median(np.abs(first - centre))
    if reach > 0:
        first = np.array([min(max(value, centre - reach), centre + reach) for value in first])
    count, mean, variance = len(first), first.mean(), first.var()
    for begin in range(start, len(values), piece):
        rows = np.array(values[begin : begin + piece])
        reach = bound * math.sqrt(variance)
        rows = np.array([min(max(value, mean - reach), mean + reach) for value in rows])
        count = min(count, most)
        both = count + len(rows)
        middle = (count * mean + rows.sum()) / both
        variance = (count * (variance + (mean - middle) ** 2) + ((rows - middle) ** 2).sum()) / both
        count, mean = both, middle
    return mean, variance


def block_signals(y, lengths, sign, share, power):
    """Mean ln r, mean s|u| and ln mean (p - 1)², u the rows at unit root mean square, and the new p."""
    u = y / np.sqrt(np.mean(y**2, axis=1, keepdims=True))
    power = (1 - share) * power + share * np.mean(u**2, axis=0)
    level = np.mean(np.clip(np.log(lengths), -5, 5))
    return np.array([level, np.mean(sign * np.abs(u)), np.log(np.mean((power - 1) ** 2))]), power


def cusum(values, mean, deviation, slack=0.5, winsor=5.0):
    """The sum of a one-sided CUSUM after each value."""
    total, sums = 0.0, []
    for value in values:
        z = min(max((value - mean) / deviation, -winsor), winsor)
        total = max(0.0, total + z - slack)
        sums.append(total)
    return np.array(sums)


def neighbours(values, length):
    """Sum and number of squared differences of neighbouring batch means."""
    means = np.array([np.mean(values[i : i + length]) for i in range(0, len(values) - length + 1, length)])
    return np.sum(np.diff(means) ** 2), max(len(means) - 1, 0)


def channel_faults(rows, usual, rails, share):
    """Which channels stand still (1) or are cut (2), how many never vary, what is usual from now on, and the rails."""
    n = len(rows)
    equal = np.mean(rows[1:] == rows[:-1], axis=0)
    low, high = rows.min(axis=0), rows.max(axis=0)
    extreme = np.maximum(np.sum((rows == low) | (rows == high), axis=0) - 2, 0) / n
    near = np.maximum(np.abs(low), np.abs(high)) < 1e6
    still = near & (equal >= 0.9) & (usual[0] < 0.5)
    same = (np.abs(low - rails[0]) <= 1e-3 * (high - low)) | (np.abs(high - rails[1]) <= 1e-3 * (high - low))
    blocks = np.where((extreme > 0.1 + 3 * usual[1]) & (same | (rails[2] == 0)), rails[2] + 1, 0)
    rails = np.where(near & ~still, np.stack([low, high, blocks]), rails)
    cut = near & ~still & (blocks >= 4)
    if not (still | cut).any():
        moved = usual + share * (np.stack([equal, extreme]) - usual)
        usual = np.stack([moved[0], np.where(rails[2] == 0, moved[1], usual[1])])
    return still + 2 * cut, int(np.sum(near & (low == high))), usual, rails


def power_spectrum(rows, rate):
    """Power per Hz of each column by the discrete Fourier transform as it is written, under a Hann window."""
    n, columns = rows.shape
    window = [math.sin(math.pi * i / n) ** 2 for i in range(n)]
    power = np.zeros((n // 2 + 1, columns))
    for k in range(columns):
        mean = sum(rows[:, k]) / n
        for f in range(n // 2 + 1):
            turn = [complex(math.cos(2 * math.pi * f * i / n), -math.sin(2 * math.pi * f * i / n)) for i in range(n)]
            total = sum((rows[i, k] - mean) * window[i] * turn[i] for i in range(n))
            both = 1 if f in (0, n / 2) else 2
            power[f, k] = both * abs(total) ** 2 / (rate * sum(w**2 for w in window))
    return power


def moments(rows, point):
    """Σ 1, Σ x and Σ x xᵀ of rows counted from a point."""
    counted = np.asarray(rows, np.float64) - point
    return len(counted), counted.sum(axis=0), scatter(counted)


def lead(before, mean, way, factor, momentum, furthest):
    """Where a round leads to, and the way there."""
    way = (mean - before) + momentum * way
    further = (factor - 1) * (mean - before) + momentum * way
    lengths = np.linalg.norm(further, axis=0)
    return polar(mean + further * min(1, furthest / np.sqrt(np.mean(lengths**2)))), way


def agreement(rotations, weights):
    """Root mean square of the singular values of the weighted mean of several C."""
    mean = sum(weight * rotation for weight, rotation in zip(weights, rotations, strict=True)) / sum(weights)
    return np.sqrt(np.mean(np.linalg.svd(mean, compute_uv=False) ** 2))


def assignment(first, other):
    """Which column of one C is which of the other: the best of all orders, by the sum of |cosine|."""
    cosines = np.abs((first / np.linalg.norm(first, axis=0)).T @ (other / np.linalg.norm(other, axis=0)))
    orders = itertools.permutations(range(other.shape[1]))
    return np.array(max(orders, key=lambda order: sum(cosines[k, at] for k, at in enumerate(order))))


def blend(probabilities, weights):
    """Each class's probabilities at all levels, to the power of the level's weight, multiplied: (classes,)."""
    products = [
        math.prod((levels[k] + 1e-9) ** weights[i] for i, levels in enumerate(probabilities))
        for k in range(len(probabilities[0]))
    ]
    return np.array(products) / sum(products)


def thirds(rows):
    """Deviation, and the means of the three thirds of a segment; rows across a border count to both by their share."""
    n = len(rows)
    means = []
    for i in range(3):
        shares = [max(0.0, min(t + 1, n * (i + 1) / 3) - max(t, n * i / 3)) for t in range(n)]
        means.append(sum(share * row for share, row in zip(shares, rows, strict=True)) / sum(shares))
    return np.concatenate([rows.std(0), *means])
