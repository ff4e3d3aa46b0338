"""How far numbers are from Gaussian, and classes from each other."""

import math

import numpy as np

_erfc = np.vectorize(math.erfc, otypes=["float64"])


def normality(values) -> tuple[float, float, float]:
    """Returns how far numbers are from a Gaussian of the same mean and standard deviation.

        z    = (x - mean) / std                      std over N, not N - 1
        skewness = mean z^3        excess kurtosis = mean z^4 - 3
        KS distance = sup |share of z up to t - Phi(t)|

    All are 0 for a Gaussian, and NaN for a constant.

    Args:
        values: `(N,)`.

    Returns:
        Skewness, excess kurtosis and KS distance.
    """
    values = np.asarray(values, "float64")
    z = values - values.mean()
    std = math.sqrt(np.mean(z**2))
    if std <= 1e-12 * np.abs(values).max(initial=0.0):
        return math.nan, math.nan, math.nan
    z = np.sort(z / std)
    below = _erfc(-z / math.sqrt(2.0)) / 2.0  # Phi(z)
    shares = np.arange(len(z) + 1) / len(z)
    distance = max((shares[1:] - below).max(), (below - shares[:-1]).max())
    return float(np.mean(z**3)), float(np.mean(z**4) - 3.0), float(distance)


def gaussian_distance(count: int) -> float:
    """Returns the KS distance that 5 % of samples of `count` Gaussian numbers exceed.

    Reference:
        Stephens, "EDF statistics for goodness of fit and some comparisons", JASA 69 (1974),
        Table 1A, mean and variance estimated.
    """
    return 0.895 / (math.sqrt(count) - 0.01 + 0.85 / math.sqrt(count))


def scatter(values, labels):
    """Returns the variance between the means of classes and that within classes, each `(C,)`.

        between = sum_k N_k (m_k - m)^2 / N        within = sum_k sum_(n in k) (x_n - m_k)^2 / N

    Their ratio is Fisher's criterion: 0 where all classes have the same mean.

    Args:
        values: Responses `(N, C)`.
        labels: Classes `(N,)`, integers.
    """
    values = np.asarray(values, "float64")
    counts = np.bincount(labels)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, labels, values)
    means = sums / np.maximum(counts, 1)[:, None]
    between = (counts[:, None] * (means - values.mean(0)) ** 2).sum(0) / len(values)
    within = ((values - means[labels]) ** 2).mean(0)
    return between, within
