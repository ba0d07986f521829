"""Where documents end inside a window, for `document_mask`.

A separator ends its document, and as an input it begins the next one:

    token      a b | c d |        (| is the separator)
    as input   0 0 1 1 1 2        segment: separators up to and with this one
    head 2's target of "b" is "c": behind the end of b's document, so it is not trained

Head 1 is trained everywhere: what follows a separator is the start of a document.
"""

import math

import torch
from torch import Tensor

from mtp.cross_entropy import IGNORED


def attention_bias(tokens_BT: Tensor, separator: int) -> Tensor:
    """Additive bias (B, 1, T, T) in float32: -inf where the key comes later or belongs to another document."""
    T = tokens_BT.shape[1]
    segment_BT = (tokens_BT == separator).cumsum(1)
    visible_BTT = (segment_BT[:, :, None] == segment_BT[:, None, :]).tril()
    return torch.zeros(len(tokens_BT), 1, T, T, device=tokens_BT.device).masked_fill_(~visible_BTT[:, None], -math.inf)


def within_document(targets_BTN: Tensor, separator: int) -> Tensor:
    """Targets with `IGNORED` wherever a separator stands among the targets before them."""
    ends_BTN = targets_BTN == separator
    before_BTN = ends_BTN.cumsum(-1) - ends_BTN.long()
    return targets_BTN.masked_fill(before_BTN > 0, IGNORED)
