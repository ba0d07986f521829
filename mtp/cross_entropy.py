"""Unembedding and cross-entropy in one pass over chunks of rows: loss and gradients, never all logits at once.

Shapes: R rows (windows times positions), D dim, V vocabulary, K targets per row; a suffix names the shape.

    chunk of x_RD -> logits_CV -> nats, and the gradient of the logits in their place -> grad_x, grad_weight

The paper keeps the logits of one head at a time (Figure 2, B T V numbers); here one chunk of them is kept, and it
serves forward and backward, so that memory no longer grows with B T.
"""

import torch
from torch import Tensor

IGNORED = -100
"""A target that does not count, as in `torch.nn.functional.cross_entropy`."""

CHUNK_BYTES = {"cpu": 32 * 2**20, "cuda": 512 * 2**20}
"""Float32 logits that exist at a time. Every chunk reads the V D weight and reads and writes its V D gradient, so
chunks must be long where V is large; beyond 32 MiB nothing is gained on a CPU (docs/log.md). On a GPU 512 MiB
(4096 rows at V = 32768) keep the products long enough to fill it."""

MIN_ROWS = 128
"""Shorter chunks would spend their time on the weight, however large V is."""


def chunk_rows(vocabulary: int, device: torch.device) -> int:
    """Rows whose logits exist at a time."""
    return max(MIN_ROWS, CHUNK_BYTES[device.type] // (4 * vocabulary))


@torch.no_grad()
def linear_cross_entropy(
    x_RD: Tensor, weight_VD: Tensor, targets_RK: Tensor, scales_K: Tensor, grad_weight_VD: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of `x_RD @ weight_VD.T` against K targets per row, and its gradients. No autograd inside.

    Args:
        x_RD: float32, float64 or bfloat16.
        weight_VD: of the same type.
        targets_RK: token ids; `IGNORED` ones do not count.
        scales_K: weight of each target in the loss, on the device of `x_RD`.
        grad_weight_VD: the weight's gradient is added to it (None: not wanted); at least float32.

    Returns:
        nats_K: the sum of -log p(target) over the rows that count, unscaled; float32, or float64 for float64 inputs.
        grad_x_RD: gradient of sum_k scales_k nats_k, of x's type.
    """
    R, V = len(x_RD), len(weight_VD)
    exact = torch.float64 if x_RD.dtype == torch.float64 else torch.float32
    counts_RK = targets_RK != IGNORED
    targets_RK = targets_RK.where(counts_RK, 0)
    # The gradient of the logits is  a p - sum_k s_k 1[target_k]  with  a = sum_k s_k  over the targets that count,
    # where p = e / total, e = exp(logits - max). It is written as  (a / total) (e - total sum_k (s_k / a) 1[target_k]):
    # the factor of a row then moves to the rows of x and of grad_x (D numbers, not V), and a row without targets
    # costs no pass of its own.
    scales_RK = scales_K.to(exact) * counts_RK
    a_R1 = scales_RK.sum(1, keepdim=True)
    shares_RK = (scales_RK / a_R1).where(a_R1 != 0, 0)
    nats_K = torch.zeros(targets_RK.shape[1], dtype=exact, device=x_RD.device)
    grad_x_RD = torch.empty_like(x_RD)
    rows = min(R, chunk_rows(V, x_RD.device))
    buffer_CV = torch.empty(rows, V, dtype=exact, device=x_RD.device)
    rounded = x_RD.dtype != exact
    rounded_CV = torch.empty(rows, V, dtype=x_RD.dtype, device=x_RD.device) if rounded else buffer_CV
    with torch.autocast(x_RD.device.type, enabled=False):
        for start in range(0, R, rows):
            x_CD, targets_CK = x_RD[start : start + rows], targets_RK[start : start + rows]
            grad_x_CD = grad_x_RD[start : start + rows]
            logits_CV, product_CV = buffer_CV[: len(x_CD)], rounded_CV[: len(x_CD)]
            torch.mm(x_CD, weight_VD.t(), out=product_CV)
            if rounded:
                logits_CV.copy_(product_CV)
            chosen_CK = logits_CV.gather(1, targets_CK)
            max_C1 = logits_CV.amax(1, keepdim=True)
            e_CV = logits_CV.sub_(max_C1).exp_()
            total_C1 = e_CV.sum(1, keepdim=True)
            nats_CK = max_C1 + total_C1.log() - chosen_CK
            nats_K += nats_CK.where(counts_RK[start : start + rows], 0).sum(0)
            # One target at a time: two equal targets of a row must both be subtracted, in a fixed order.
            for k in range(targets_CK.shape[1]):
                target_C1 = targets_CK[:, k : k + 1]
                less_C1 = total_C1 * shares_RK[start : start + rows, k : k + 1]
                e_CV.scatter_(1, target_C1, e_CV.gather(1, target_C1) - less_C1)
            if rounded:
                product_CV.copy_(e_CV)
            factor_C1 = a_R1[start : start + rows] / total_C1
            torch.mm(product_CV, weight_VD, out=grad_x_CD)
            grad_x_CD.mul_(factor_C1)
            if grad_weight_VD is not None:
                scaled_CD = (x_CD * factor_C1).to(x_CD.dtype)
                if grad_weight_VD.dtype == scaled_CD.dtype:
                    grad_weight_VD.addmm_(product_CV.t(), scaled_CD)
                else:
                    grad_weight_VD.add_(product_CV.t() @ scaled_CD)
    return nats_K, grad_x_RD
