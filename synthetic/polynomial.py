"""Polynomial arithmetic in F_p[X]/(X^d) (Section 4.2, Appendix K, Figures 8, S15 and S16).

Stated in the paper: p = 7 and d = 5; negation, addition, multiplication and composition; "coefficients of operands and
the operators are sampled uniformly"; m operations, uniform in 1..5 in training, 1..10 in tests; a constant number of
pause tokens between question and equality sign; all coefficients must be right. What it leaves open, and what is
chosen here:

Grammar (surface form). Prefix notation, one byte per symbol, no brackets or blanks:

    example    = expression pause* "=" operand         pause is "."
    expression = operand | "-" expression | ("+" | "*" | "@") expression expression
    operand    = d digits: the coefficients of X^0, X^1, ..., X^(d-1)

so over F_3[X]/(X^2) `@*1202-21=21` reads (12 * 02) composed with -(21).

Distribution over trees. `tree(m)` is an operand for m = 0. For m > 0 its root is one of the four operators with equal
probability; under negation stands tree(m - 1), under the others tree(k) on the left and tree(m - 1 - k) on the right
with k uniform in 0 .. m - 1. The number of operands is thus random: 1 + the number of binary operators.

Composition. `@ f g` is f(g(X)) mod X^d where f is the polynomial of degree < d that is written down. The choice
matters: X^d is 0 in the ring but g(X)^d is not where g(0) != 0, so composition is no operation on residue classes. It
is associative only up to this: (f @ g) @ h = f @ (g @ h) if h(0) = 0, in general not.

Loss on the question, packing, size of the training set: not the task's business (mtp/data/stream.py, `loss_on`);
examples are drawn without end.

A question counts as the same question whatever the number of pauses, so that their test sets are the same. Variants
such as +fg and +gf are different questions.
"""

import dataclasses
import functools

import numpy as np

from synthetic._random import Words, hashed
from synthetic._task import Candidates, Drawn, need

OPERATORS = b"-+*@"
NEGATE, ADD, MULTIPLY, COMPOSE, OPERAND, END = range(6)
"""What stands at a place of an expression: an operator by its place in OPERATORS, an operand, nothing more."""


def add(f_KD: np.ndarray, g_KD: np.ndarray, p: int) -> np.ndarray:
    """Sums of K pairs; D = d coefficients in 0 .. p - 1, lowest first."""
    return np.asarray((f_KD + g_KD) % p)


def negate(f_KD: np.ndarray, p: int) -> np.ndarray:
    """The additive inverses."""
    return np.asarray(-f_KD % p)


def multiply(f_KD: np.ndarray, g_KD: np.ndarray, p: int) -> np.ndarray:
    """Products modulo X^d."""
    d = f_KD.shape[1]
    out_KD = np.zeros_like(f_KD)
    for i in range(d):
        out_KD[:, i:] += f_KD[:, i : i + 1] * g_KD[:, : d - i]
    return np.asarray(out_KD % p)


def compose(f_KD: np.ndarray, g_KD: np.ndarray, p: int) -> np.ndarray:
    """f(g(X)) modulo X^d for the representatives f of degree < d, by Horner's rule."""
    out_KD = np.zeros_like(f_KD)
    for i in reversed(range(f_KD.shape[1])):
        out_KD = multiply(out_KD, g_KD, p)
        out_KD[:, 0] = (out_KD[:, 0] + f_KD[:, i]) % p
    return out_KD


def draw_trees(words: Words, operations_K: np.ndarray) -> np.ndarray:
    """int64 [K, 2 M + 1]: what stands at each place of K random expressions in prefix notation.

    Args:
        words: random numbers.
        operations_K: m of each; M is the largest.
    """
    K, M = len(operations_K), int(operations_K.max())
    places = 2 * M + 1
    root_PK = words.below(4, places, K)
    # A stack of the sizes of subtrees yet to be written; at most one more than there are operations left.
    stack_KS = np.zeros((K, M + 2), np.int64)
    stack_KS[:, 0] = operations_K
    depth_K = np.ones(K, np.int64)
    kind_KP = np.full((K, places), END)
    all_K = np.arange(K)
    for place in range(places):
        m_K = stack_KS[all_K, depth_K - 1]
        left_K = words.below(np.maximum(m_K, 1), K)
        open_K = depth_K > 0
        inner_K = open_K & (m_K > 0)
        unary_K = inner_K & (root_PK[place] == NEGATE)
        binary_K = inner_K & ~unary_K
        kind_KP[:, place] = np.where(inner_K, root_PK[place], np.where(open_K, OPERAND, END))
        # One entry is taken. Negation puts back one smaller by one; others put the right subtree, then the left.
        top_K = np.maximum(depth_K - 1, 0)
        stack_KS[all_K, top_K] = np.where(binary_K, m_K - 1 - left_K, m_K - 1)
        stack_KS[all_K, top_K + 1] = left_K
        depth_K += np.where(binary_K, 1, np.where(unary_K, 0, np.where(open_K, -1, 0)))
    return kind_KP


def evaluate(kind_KP: np.ndarray, coefficients_KPD: np.ndarray, p: int) -> np.ndarray:
    """int64 [K, D]: the values of K expressions, read from the right with a stack of values.

    Args:
        kind_KP: as `draw_trees` returns them.
        coefficients_KPD: the operands' coefficients; ignored elsewhere.
        p: the modulus.
    """
    K, P, D = coefficients_KPD.shape
    stack_KSD = np.zeros((K, P + 1, D), np.int64)
    depth_K = np.zeros(K, np.int64)
    for place in reversed(range(P)):
        for kind, work in ((ADD, add), (MULTIPLY, multiply), (COMPOSE, compose)):
            rows = np.flatnonzero(kind_KP[:, place] == kind)
            depth_K[rows] -= 1
            left_KD, right_KD = stack_KSD[rows, depth_K[rows]], stack_KSD[rows, depth_K[rows] - 1]
            stack_KSD[rows, depth_K[rows] - 1] = work(left_KD, right_KD, p)
        rows = np.flatnonzero(kind_KP[:, place] == NEGATE)
        stack_KSD[rows, depth_K[rows] - 1] = negate(stack_KSD[rows, depth_K[rows] - 1], p)
        rows = np.flatnonzero(kind_KP[:, place] == OPERAND)
        stack_KSD[rows, depth_K[rows]] = coefficients_KPD[rows, place]
        depth_K[rows] += 1
    return np.asarray(stack_KSD[:, 0])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generator(Drawn):
    """Expressions over F_p[X]/(X^d) and their values."""

    modulus: int = 7
    """p: a prime below 10, so that a coefficient is a digit."""
    degree: int = 5
    """d: coefficients of a polynomial."""
    train_operations: int = 5
    """Training expressions have 1 to this many operations."""
    test_operations: int = 10
    """Test groups are 1 to this many."""
    pauses: int = 0
    """Pause tokens between question and equality sign."""

    def __post_init__(self) -> None:
        super().__post_init__()
        need(self.modulus in (2, 3, 5, 7), f"modulus: must be 2, 3, 5 or 7, got {self.modulus}")
        need(1 <= self.degree <= 16, f"degree: must be 1 to 16, got {self.degree}")
        need(
            1 <= self.train_operations <= self.test_operations,
            f"train_operations: must be 1 to test_operations: {self.test_operations}, got {self.train_operations}",
        )
        need(self.pauses >= 0, f"pauses: must be 0 or more, got {self.pauses}")

    @property
    def groups(self) -> tuple[str, ...]:
        """Numbers of operations."""
        return tuple(str(m) for m in range(1, self.test_operations + 1))

    @property
    def in_domain(self) -> frozenset[str]:
        return frozenset(str(m) for m in range(1, self.train_operations + 1))

    @property
    def longest_answer(self) -> int:
        return self.degree

    def chance(self, group: str) -> float:
        """Share of the commonest answer among 8,192 expressions: results are far from uniform (p^-d each), since
        products and compositions of many operands tend to constants."""
        return _commonest(dataclasses.replace(self, pauses=0), group)

    def candidates(self, words: Words, group: str | None, count: int) -> Candidates:
        if group is None:
            operations_K = 1 + words.below(self.train_operations, count)
        else:
            operations_K = np.full(count, int(group))
        kind_KP = draw_trees(words, operations_K)
        P, D = kind_KP.shape[1], self.degree
        coefficients_KPD = words.below(self.modulus, count, P, D)
        value_KD = evaluate(kind_KP, coefficients_KPD, self.modulus)
        # Every place is as wide as an operand; what it does not need stays 0.
        text_KPD = np.where((kind_KP == OPERAND)[:, :, None], coefficients_KPD + ord("0"), 0).astype(np.uint8)
        signs = np.frombuffer(OPERATORS + bytes(2), np.uint8)
        text_KPD[:, :, 0] += signs[kind_KP]
        question_KL = text_KPD.reshape(count, P * D)
        sign_KL = np.tile(np.frombuffer(b"." * self.pauses + b"=", np.uint8), (count, 1))
        answer_KD = (value_KD + ord("0")).astype(np.uint8)
        return Candidates(np.concatenate([question_KL, sign_KL, answer_KD], axis=1), hashed(question_KL))


@functools.lru_cache
def _commonest(task: Generator, group: str) -> float:
    examples = task.examples("train", 0, 0, 8192, group)
    answers_KD = examples.text_S[examples.starts_K[1:, None] - np.arange(1, task.degree + 1)]
    return float(np.unique(answers_KD, axis=0, return_counts=True)[1].max()) / len(examples)
