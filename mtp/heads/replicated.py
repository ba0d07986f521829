"""Replicated unembeddings (Appendix B; the byte-level models, caption of Table S13).

           +-> unembedding 1 -> token t+1
    z_t ---+-> unembedding 2 -> token t+2
           +-> unembedding n -> token t+n

No head layers: the trunk keeps all L layers and each head has an unembedding of its own, so the number
of weights grows by V x dim per head. That is little for bytes (V = 256) and prohibitive for 32k tokens.
"""

from mtp.heads._none import NoHeads

LAYOUT = {"layers_per_head": 0, "own_unembedding": True, "one_state": True}


class Heads(NoHeads):
    pass
