"""Settings are refused before anything runs, with the key in front; one model has one name."""

from typing import Any

import pytest

from mtp.config import layout_of
from mtp.errors import UserError
from tests.conftest import tiny


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_future": 4}, r"^n_future: 4 parallel heads leave no trunk of layers: 4 \(needs at least 5\)"),
        ({"n_future": 5, "extra_layers": 1}, r"^n_future: 5 parallel heads leave no trunk"),
        ({"n_future": 65}, r"^n_future: 65 is more than 64"),
        ({"dim": 15}, r"^dim: 15 split over attention_heads: 2"),
        ({"dim": 6}, r"^dim: 6 split over attention_heads: 2 must give an even whole number"),
        ({"heads": "causl"}, r"^heads: unknown 'causl'; did you mean 'causal'\?"),
        ({"extra_layers": -1}, r"^extra_layers: must be 0 or more, got -1"),
        ({"head_weights": [1, -1], "n_future": 2}, r"^head_weights: '1, -1': weights must be 0 or more"),
        ({"head_weights": [0, 0], "n_future": 2}, r"^head_weights: .* one of them positive"),
        ({"head_weights": "geometric -1", "n_future": 2}, r"^head_weights: .* weights must be 0 or more"),
        ({"head_weights": "nan, 1", "n_future": 2}, r"^head_weights: .* weights must be 0 or more"),
        ({"head_weights": [1, 0.5]}, r"^head_weights: 2 weights for n_future: 1"),
        ({"head_weights": "linear"}, r"^head_weights: 'linear' is neither 'uniform', 'geometric <ratio>' nor a list"),
        ({"head_weights": ["a"]}, r"^head_weights: expected str"),
        ({"head_schedule": "fade"}, r"^head_schedule: unknown 'fade'; did you mean 'fade_"),
        ({"loss_scheme": "chunk"}, r"^loss_scheme: unknown 'chunk'; did you mean 'chunked'\?"),
        ({"detach_heads": True, "heads": "anticausal", "n_future": 2}, r"^detach_heads: head 1 of the anticausal"),
        ({"detach_heads": True, "head_weights": [0, 1], "n_future": 2}, r"^detach_heads: head 1 alone trains"),
        ({"detach_heads": 1}, r"^detach_heads: expected bool, got 1"),
        ({"vocabulary": "bpe65537"}, r"^vocabulary: 'bpe65537' does not fit 16 bits"),
        ({"micro_batch": 2}, r"^micro_batch: 2 does not divide batch_size: 3"),
    ],
)
def test_bad_settings_are_one_line_with_the_key_in_front(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        tiny(**changes)
    assert "\n" not in str(raised.value)


def test_settings_that_mean_one_thing_have_one_name() -> None:
    assert tiny(n_future=2, head_weights=[1, 1]).name() == tiny(n_future=2).name()
    assert tiny(n_future=2, head_weights=[1, 0.5]).name() == tiny(n_future=2, head_weights="geometric 0.5").name()
    assert tiny(head_schedule="add", detach_heads=True, heads="linear").name() == tiny().name()
    assert tiny(n_future=2, detach_heads=True).name() != tiny(n_future=2).name()


def test_a_layout_says_what_it_costs() -> None:
    assert layout_of("parallel").layers_per_head == 1 and layout_of("linear").matrices_per_head == 1
    assert layout_of("replicated").own_unembedding and not layout_of("zero").own_unembedding


def test_extra_layers_lengthen_the_trunk_only() -> None:
    assert tiny(n_future=3, extra_layers=2).trunk_layers == tiny().trunk_layers == 3
