"""Exported runs: the same logits and the same text as ours, in Hugging Face's programs and in plainly written Llama."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mtp.config import RunConfig, head_layouts
from mtp.data.build import build
from mtp.data.corpora import Folder
from mtp.data.pieces import SentencePieceVocabulary
from mtp.data.tokenizer import tokenize
from mtp.data.vocabulary import BPEVocabulary, ByteVocabulary, Vocabulary
from mtp.errors import UserError
from mtp.export import NAMES, bytes_tokenizer, export, main, pieces_tokenizer
from mtp.generate import Request, Sampling, generate
from mtp.model import Model
from mtp.runs import load_run
from tests.conftest import tiny
from tests.mtp.data.test_pieces import model_file
from tests.mtp.llama_reference import block, rms
from tests.mtp.test_start import finished

TEXTS = ["def f(x):\n    return x", "", " <|doc|> is text", "naïve \N{SNOWMAN}\t\n\n  two", "x" * 9]
LLAMAS = [
    ("parallel", 1),
    ("parallel", 3),
    ("causal", 3),
    ("anticausal", 3),
    ("deepseek", 3),
    ("replicated", 4),
    ("zero", 2),
]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder of 300 tokens."""
    folder = tmp_path_factory.mktemp("tokens")
    texts = folder / "texts"
    texts.mkdir()
    for i in range(40):
        (texts / f"{i}.txt").write_text(f"def function_{i}(value):\n    return value + {i}\n" * (i + 1))
    build(Folder(name="tiny", path=str(texts), pattern="*.txt"), folder / "bytes", folder)
    tokenize(folder / "bytes", 300, folder / "bpe300")
    return folder / "bpe300"


def run_of(folder: Path, **changes: Any) -> tuple[Model, RunConfig, Path]:
    torch.manual_seed(0)
    config = tiny(**{"context": 24, "norm_eps": 1e-3, "rope_theta": 100.0} | changes)
    return finished(config, folder / "run").eval(), config, folder / "run"


def inputs(config: RunConfig) -> torch.Tensor:
    return torch.randint(config.vocab_size, (2, config.context), generator=torch.Generator().manual_seed(1))


def transformers() -> Any:
    return pytest.importorskip("transformers", reason="transformers is only in .venv/bench (make bench-train)")


@pytest.mark.parametrize(("heads", "n"), LLAMAS)
def test_weights_are_llamas(heads: str, n: int, tmp_path: Path) -> None:
    model, config, run = run_of(tmp_path, heads=heads, n_future=n)
    export(run, None, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "config.json").read_text())
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert told["num_hidden_layers"] == len(model.path(0)) * config.layout.layers_per_head + config.trunk_layers
    assert len(found) == 9 * told["num_hidden_layers"] + 3
    x_BTD = found["model.embed_tokens.weight"][inputs(config)]
    for i in range(told["num_hidden_layers"]):
        weights = {name: found[f"model.layers.{i}.{theirs}.weight"] for name, theirs in NAMES.items()}
        x_BTD = block(x_BTD, weights, told["num_attention_heads"], told["rope_theta"], told["rms_norm_eps"], False)
    logits = rms(x_BTD, found["model.norm.weight"], told["rms_norm_eps"]) @ found["lm_head.weight"].T
    with torch.no_grad():
        assert torch.allclose(logits, model(inputs(config)), atol=1e-4)


@pytest.mark.parametrize(("heads", "n"), LLAMAS)
def test_transformers_computes_and_writes_the_same(heads: str, n: int, tmp_path: Path) -> None:
    llama_of = transformers().LlamaForCausalLM.from_pretrained
    model, config, run = run_of(tmp_path, heads=heads, n_future=n)
    export(run, None, tmp_path / "out")
    llama, info = llama_of(tmp_path / "out", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        apart = (llama.eval()(inputs(config)).logits - model(inputs(config))).abs().max()
    assert apart < 1e-4
    prompts = inputs(config)[:, :6].numpy()
    ours = generate(model, ByteVocabulary(), [Request(i, 0, p) for i, p in enumerate(prompts)], Sampling(max_tokens=12))
    for sample in ours:
        prompt_1T = torch.from_numpy(prompts[sample.problem])[None]
        written = llama.generate(prompt_1T, attention_mask=torch.ones_like(prompt_1T), max_new_tokens=12)[0, 6:]
        ended = written.tolist().index(0xFF) if 0xFF in written else len(written)
        assert list(sample.tokens)[:ended] == written.tolist()[:ended] and ended > 0


def test_pieces_are_read_as_at_the_beginning_of_a_text(tmp_path: Path) -> None:
    """Of weights of others: with the begin in front, and the space that SentencePiece writes there."""
    from tokenizers import Tokenizer

    vocabulary = SentencePieceVocabulary(model_file(tmp_path / "tokenizer.model"))
    (tmp_path / "manifest.json").write_text(json.dumps({"vocabulary": vocabulary.describe()}))
    export(run_of(tmp_path, vocabulary=vocabulary.name)[2], tmp_path, tmp_path / "out")
    tokenizer = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    for text in [*TEXTS, "def function_7(value):\n    return value + 12\nif x is None:"]:
        ids = tokenizer.encode(text).ids
        assert ids == vocabulary.begin(text).tolist() and tokenizer.decode(ids) == text
    told = json.loads((tmp_path / "out" / "config.json").read_text())
    assert [told[f"{name}_token_id"] for name in ("bos", "eos", "pad")] == [1, 2, 0]
    assert (tmp_path / "out" / "tokenizer.model").read_bytes() == (tmp_path / "tokenizer.model").read_bytes()
    with pytest.raises(UserError, match="no model of pair merges"):
        pieces_tokenizer(
            SentencePieceVocabulary(
                model_file(tmp_path / "unigram.model", model_type="unigram", hard_vocab_limit=False)
            )
        )


@pytest.mark.parametrize("kind", ["bytes", "bpe300"])
def test_transformers_reads_the_same_tokens(kind: str, tokens: Path, tmp_path: Path) -> None:
    load = transformers().AutoTokenizer.from_pretrained
    vocabulary: Vocabulary = ByteVocabulary() if kind == "bytes" else BPEVocabulary(tokens / "tokenizer.json")
    export(run_of(tmp_path, vocabulary=kind)[2], tokens if kind == "bpe300" else None, tmp_path / "out")
    tokenizer = load(tmp_path / "out")
    assert len(tokenizer) == vocabulary.size
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (vocabulary.separator, vocabulary.pad)
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        assert ids == vocabulary.encode(text).tolist() and tokenizer.decode(ids) == text
    assert tokenizer.decode([vocabulary.separator], skip_special_tokens=True) == ""


def test_bytes_are_their_ids() -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(bytes_tokenizer())
    tokenizer.encode_special_tokens = True
    assert tokenizer.get_vocab_size() == 256
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        assert ids == list(text.encode()) and tokenizer.decode(ids) == text


@pytest.mark.parametrize("heads", head_layouts())
def test_all_heads_are_a_run_again(heads: str, tmp_path: Path) -> None:
    model, config, run = run_of(tmp_path, heads=heads, n_future=3)
    export(run, None, tmp_path / "out", "heads")
    again, told = load_run(tmp_path / "out")
    assert told == config
    for name, weight in model.named_parameters():
        assert torch.equal(again.get_parameter(name).cpu(), weight)
    listed = json.loads((tmp_path / "out" / "heads.json").read_text())
    prefixes = [*listed["trunk"]["layers"], *(layer for branch in listed["branches"] for layer in branch["layers"])]
    prefixes += [listed["embedding"], *(p[key] for p in listed["predictions"] for key in ("norm", "unembedding"))]
    assert all(any(name == p or name.startswith(f"{p}.") for p in prefixes) for name in listed["keys"])
    assert listed["keys"] == {name: list(weight.shape) for name, weight in model.named_parameters()}
    assert [p["tokens_ahead"] for p in listed["predictions"]] == [1, 2, 3]


def test_stored_type_is_kept(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    _, _, run = run_of(tmp_path)
    half = {name: weight.bfloat16() for name, weight in load_file(run / "model.safetensors").items()}
    save_file(half, run / "model.safetensors")
    export(run, None, tmp_path / "out")
    assert {weight.dtype for weight in load_file(tmp_path / "out" / "model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "out" / "config.json").read_text())["torch_dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("changes", "layout", "expected"),
    [
        ({"heads": "linear", "n_future": 2}, "huggingface", "heads: linear: a matrix without a residual"),
        ({"trunk": "gru", "heads": "replicated"}, "huggingface", "trunk: gru: only a trunk of Llama blocks"),
        (
            {"heads": "causal", "n_future": 2},
            "released",
            "heads: causal on trunk: transformer: the released format has",
        ),
        ({"heads": "linear", "n_future": 1}, "released", "heads: linear: the released format has no place"),
        ({"vocabulary": "bpe300"}, "huggingface", "--data: missing; it holds the tokenizer of bpe300"),
    ],
)
def test_what_has_no_place(changes: dict[str, Any], layout: str, expected: str, tmp_path: Path) -> None:
    _, _, run = run_of(tmp_path, **changes)
    with pytest.raises(UserError, match=expected):
        export(run, None, tmp_path / "out", layout)
    assert not (tmp_path / "out").exists()


def test_command(tokens: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, run = run_of(tmp_path)
    main(["--run", str(run), "--out", str(tmp_path / "out")])
    assert "config.json, generation_config.json, model.safetensors, special_tokens_map.json" in capsys.readouterr().out
    for options, expected in (
        (["--run", str(run), "--out", str(run)], "is the run itself"),
        (["--run", str(run), "--data", str(tokens), "--out", "x"], "holds bpe300 tokens, but the run reads bytes"),
        (["--run", str(tmp_path / "none"), "--out", "x"], "no such file; train the run first"),
    ):
        with pytest.raises(SystemExit):
            main(options)
        assert expected in capsys.readouterr().err
