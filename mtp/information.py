"""Entropies of two variables and the decomposition of two-token prediction (Section 5.2, Appendix L.2).

Joint distributions are float64 arrays p_XY of shape (X, Y), positive, that sum to 1; X is the next token, Y the one
behind it. p are the data, q is a model. All in nats.
"""

import numpy as np


def entropy(p: np.ndarray) -> float:
    """H(p) = -E_p log p."""
    return cross_entropy(p, p)


def cross_entropy(p: np.ndarray, q: np.ndarray) -> float:
    """H(p, q) = -E_p log q."""
    return float(-(p * np.log(q)).sum())


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """D(p || q) = H(p, q) - H(p)."""
    return cross_entropy(p, q) - entropy(p)


def conditional_cross_entropy(p_XY: np.ndarray, q_XY: np.ndarray) -> float:
    """H(p_{X|Y}, q_{X|Y}) = E_{y ~ p_Y} H(p(.|y), q(.|y)) (Definition L.1); transpose both for Y given X."""
    return float(-(p_XY * np.log(q_XY / q_XY.sum(0))).sum())


def mutual_information(p_XY: np.ndarray) -> float:
    """I(X; Y) = D(p || p_X p_Y)."""
    return divergence(p_XY, p_XY.sum(1, keepdims=True) * p_XY.sum(0, keepdims=True))


def shared_weight(p_XY: np.ndarray) -> float:
    """How often H(X) + H(Y) counts I(X; Y), what is left of it without H(X|Y) and H(Y|X) over I: 2 (equation 3)."""
    own = conditional_cross_entropy(p_XY, p_XY) + conditional_cross_entropy(p_XY.T, p_XY.T)
    return (entropy(p_XY.sum(1)) + entropy(p_XY.sum(0)) - own) / mutual_information(p_XY)


def relative_mutual_information(p_XY: np.ndarray, q_XY: np.ndarray) -> float:
    """I_{p||q}(X; Y) = D(p || q_X q_Y) - D(p || q) (Definition L.2): what q's own dependence of X and Y explains of p.

    Mutual information where q = p; negative where the model's dependence is wrong.
    """
    apart_XY = q_XY.sum(1, keepdims=True) * q_XY.sum(0, keepdims=True)
    return divergence(p_XY, apart_XY) - divergence(p_XY, q_XY)


def residuals(p_XY: np.ndarray, q_XY: np.ndarray) -> dict[str, float]:
    """By how much the two sides of each identity differ; zero but for rounding.

    `equation 3`: H(X) + H(Y) = H(X|Y) + 2 I(X;Y) + H(Y|X).
    `Lemma L.3`: H(p_X, q_X) = H(p_{X|Y}, q_{X|Y}) + I_{p||q}(X;Y).
    `symmetrised`: the sum of the lemma for X and for Y.
    `expanded`: I_{p||q} = H(p_X, q_X) + H(p_Y, q_Y) - H(p, q).
    """
    p_X, p_Y, q_X, q_Y = p_XY.sum(1), p_XY.sum(0), q_XY.sum(1), q_XY.sum(0)
    given_Y, given_X = conditional_cross_entropy(p_XY, q_XY), conditional_cross_entropy(p_XY.T, q_XY.T)
    relative = relative_mutual_information(p_XY, q_XY)
    h_X, h_Y = cross_entropy(p_X, q_X), cross_entropy(p_Y, q_Y)
    own = conditional_cross_entropy(p_XY, p_XY) + conditional_cross_entropy(p_XY.T, p_XY.T)
    return {
        "equation 3": abs(entropy(p_X) + entropy(p_Y) - own - 2 * mutual_information(p_XY)),
        "Lemma L.3": abs(h_X - given_Y - relative),
        "symmetrised": abs(h_X + h_Y - given_Y - 2 * relative - given_X),
        "expanded": abs(relative - (h_X + h_Y - cross_entropy(p_XY, q_XY))),
    }
