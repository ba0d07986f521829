"""Training steps of other projects, with the optimiser settings that each of them uses.

- `llama`: Hugging Face transformers' Llama; the Trainer's defaults are float32, fused AdamW, no compilation.
- `litgpt`: litgpt's GPT with RMSNorm, RoPE and SwiGLU. Its pretraining command turns on bfloat16 autocast and
  torch.compile, takes AdamW unfused on a CPU, and computes the loss in chunks of 128 rows.
- `nanogpt`: a GPT-2 block as nanoGPT has it (LayerNorm, GELU, learned positions, tied unembedding), written anew.
  float32 on a CPU; torch.compile by default.
- `lingua`: linear heads for n tokens as in lingua's apps/mtp, written anew: every head's output layer under
  checkpointing, float32 log-softmax, one backward pass over the summed losses.

All clip the gradient's norm to 1 as we do. transformers and litgpt are imported only where they are asked for.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mtp.bench.shapes import Shape

Loss = Callable[[Tensor, Tensor], Tensor]
"""(inputs_BT, targets_BTN) -> loss to go back from."""


def llama(shape: Shape, n: int) -> tuple[nn.Module, Loss, dict[str, Any]]:
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.dim,
            intermediate_size=shape.ffn,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            max_position_embeddings=shape.context,
            tie_word_embeddings=False,
            use_cache=False,
        )
    ).train()
    return model, lambda x, y: model(input_ids=x, labels=x).loss, {"fused": True, "weight_decay": 0.0}


def litgpt(shape: Shape, n: int) -> tuple[nn.Module, Loss, dict[str, Any]]:
    from litgpt.config import Config
    from litgpt.model import GPT
    from litgpt.utils import chunked_cross_entropy

    model = GPT(
        Config(
            name=shape.name,
            block_size=shape.context,
            vocab_size=shape.vocabulary,
            padded_vocab_size=shape.vocabulary,
            n_layer=shape.layers,
            n_head=shape.heads,
            n_embd=shape.dim,
            intermediate_size=shape.ffn,
            rotary_percentage=1.0,
            parallel_residual=False,
            bias=False,
            norm_class_name="RMSNorm",
            mlp_class_name="LLaMAMLP",
        )
    )
    return model, lambda x, y: chunked_cross_entropy(model(x), y[..., 0]), {"weight_decay": 0.1}


class GPT2Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.ln_1, self.ln_2 = (nn.LayerNorm(shape.dim, bias=False) for _ in range(2))
        self.qkv = nn.Linear(shape.dim, 3 * shape.dim, bias=False)
        self.proj = nn.Linear(shape.dim, shape.dim, bias=False)
        self.up = nn.Linear(shape.dim, 4 * shape.dim, bias=False)
        self.down = nn.Linear(4 * shape.dim, shape.dim, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        B, T, D = x_BTD.shape
        q, k, v = (
            part.view(B, T, self.heads, D // self.heads).transpose(1, 2)
            for part in self.qkv(self.ln_1(x_BTD)).split(D, dim=2)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x_BTD = x_BTD + self.proj(mixed.transpose(1, 2).contiguous().view(B, T, D))
        return x_BTD + self.down(F.gelu(self.up(self.ln_2(x_BTD))))


class GPT2(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.dim)
        self.positions = nn.Embedding(shape.context, shape.dim)
        self.blocks = nn.ModuleList(GPT2Block(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.dim, bias=False)
        self.unembedding = nn.Linear(shape.dim, shape.vocabulary, bias=False)
        self.tokens.weight = self.unembedding.weight
        for weight in self.parameters():
            if weight.dim() > 1:
                nn.init.normal_(weight, std=0.02)

    def forward(self, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        x_BTD = self.tokens(inputs_BT) + self.positions(torch.arange(inputs_BT.shape[1]))
        for block in self.blocks:
            x_BTD = block(x_BTD)
        logits = self.unembedding(self.norm(x_BTD))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets_BT.reshape(-1))


def nanogpt(shape: Shape, n: int) -> tuple[nn.Module, Loss, dict[str, Any]]:
    model = GPT2(shape)
    # nanoGPT fuses AdamW on CUDA only.
    return model, lambda x, y: model(x, y[..., 0]), {"weight_decay": 0.1}


class LinguaNorm(nn.Module):
    """RMSNorm computed in float32."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x_BTD: Tensor) -> Tensor:
        x = x_BTD.float()
        return (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight).type_as(x_BTD)


class LinguaBlock(nn.Module):
    """Separate projections; rotation by pairs of neighbouring features."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.norm_1, self.norm_2 = LinguaNorm(shape.dim), LinguaNorm(shape.dim)
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(shape.dim, shape.dim, bias=False) for _ in range(4))
        self.w1, self.w3 = (nn.Linear(shape.dim, shape.ffn, bias=False) for _ in range(2))
        self.w2 = nn.Linear(shape.ffn, shape.dim, bias=False)

    def forward(self, x_BTD: Tensor, rotation_TK22: Tensor) -> Tensor:
        B, T, D = x_BTD.shape
        h = self.norm_1(x_BTD)
        q, k, v = (w(h).view(B, T, self.heads, -1) for w in (self.wq, self.wk, self.wv))
        q, k = (
            (x.reshape(*x.shape[:-1], -1, 1, 2).float() * rotation_TK22[None, :, None]).sum(-1).flatten(3).type_as(x)
            for x in (q, k)
        )
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x_BTD = x_BTD + self.wo(mixed.transpose(1, 2).reshape(B, T, D))
        h = self.norm_2(x_BTD)
        return x_BTD + self.w2(F.silu(self.w1(h)) * self.w3(h))


class Lingua(nn.Module):
    def __init__(self, shape: Shape, n: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.dim)
        self.blocks = nn.ModuleList(LinguaBlock(shape) for _ in range(shape.layers))
        self.norm = LinguaNorm(shape.dim)
        self.outputs = nn.ModuleList(nn.Linear(shape.dim, shape.vocabulary, bias=False) for _ in range(n))
        width = shape.dim // shape.heads
        angle = torch.outer(torch.arange(shape.context), 10000.0 ** (-torch.arange(0, width, 2) / width))
        cos, sin = angle.cos(), angle.sin()
        self.register_buffer("rotation_TK22", torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2)))

    def forward(self, inputs_BT: Tensor, targets_BTN: Tensor) -> Tensor:
        x_BTD = self.tokens(inputs_BT)
        for block in self.blocks:
            x_BTD = block(x_BTD, self.get_buffer("rotation_TK22")[: inputs_BT.shape[1]])
        h_BTD = self.norm(x_BTD)
        losses = []
        for i, output in enumerate(self.outputs):
            logits = checkpoint(output, h_BTD, use_reentrant=False)
            log_probabilities = F.log_softmax(logits.flatten(0, 1).float(), dim=-1)
            losses.append(F.nll_loss(log_probabilities, targets_BTN[..., i].flatten()))
        return torch.stack(losses).sum()


def lingua(shape: Shape, n: int) -> tuple[nn.Module, Loss, dict[str, Any]]:
    model = Lingua(shape, n)
    for weight in model.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, std=1 / math.sqrt(shape.dim))
    return model, model, {"fused": True, "weight_decay": 0.1}


PEERS = {peer.__name__: peer for peer in (llama, litgpt, nanogpt, lingua)}


def trainer(
    peer: str, shape: Shape, n: int = 1, compile: bool = False, precision: str = "float32"
) -> Callable[[], object]:
    """A function that takes one optimiser step of a peer, on one batch of random tokens."""
    torch.manual_seed(0)
    model, loss, options = PEERS[peer](shape, n)
    loss = torch.compile(loss) if compile else loss
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), **options)
    window_BS = torch.randint(shape.vocabulary, (shape.windows, shape.context + n))
    inputs_BT = window_BS[:, : shape.context].contiguous()
    targets_BTN = window_BS.unfold(1, n, 1)[:, 1 : shape.context + 1].contiguous()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            found = loss(inputs_BT, targets_BTN)
        found.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step
