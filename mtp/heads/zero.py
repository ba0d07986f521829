"""Heads without parameters (not in the paper): one logits tensor is scored against all n next tokens.

                                +-> scored against token t+1
    z_t --> unembedding --> p --+-> scored against token t+2
                                +-> scored against token t+n

The only cost is in the targets, but one distribution cannot be right for n different tokens: with uniform weights
its best loss mixes theirs. Known from speed runs (modded-nanogpt), where the later weights fade to zero.
"""

from mtp.heads._none import NoHeads

LAYOUT = {"layers_per_head": 0, "one_state": True, "detachable": False}


class Heads(NoHeads):
    pass
