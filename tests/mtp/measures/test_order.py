"""The order of the training step against the paper's drawings, and how many heads' logits live at once."""

import csv

import pytest

from mtp.config import head_layouts
from mtp.measures import order
from mtp.report.kinds.order import lanes
from tests.conftest import ROOT, tiny

PAPER = ROOT / "experiments" / "paper"
IN_FIGURE_2 = {"shared trunk": "trunk", "trunk output tensor": "trunk"}
"""Its names of what the measure calls the trunk; a head is drawn in one piece with its loss."""


def drawn(name: str) -> list[dict[str, str]]:
    with (PAPER / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_figure_2_is_the_order_that_is_looked_for() -> None:
    """Ten arrows are the paper's six, where a head and its loss are apart and the trunk has an input."""
    arrows: list[order.Arrow] = []
    for row in drawn("fig2"):
        way, start, end = row["direction"], row["from_node"], row["to_node"]
        if "shared trunk" in (start, end):
            arrows.append((way, "input", "trunk") if way == "forward" else (way, "trunk", "input"))
        elif way == "forward":
            head, loss = end.split(" and ")
            arrows += [(way, IN_FIGURE_2[start], head), (way, head, loss)]
        else:
            head = start.replace("loss", "head")
            arrows += [(way, start, head), (way, head, IN_FIGURE_2[end])]
    assert arrows == order.PAPER["parallel"]


def test_figure_s11_is_the_order_that_is_looked_for() -> None:
    rows = [(row["direction"], row["from_node"], row["to_node"]) for row in drawn("figS11")]
    assert rows == order.PAPER["causal"]


@pytest.mark.parametrize("layout", ["parallel", "causal"])
@pytest.mark.parametrize("scheme", ["sequential", "chunked"])
def test_the_step_goes_as_the_paper_draws_it(layout: str, scheme: str) -> None:
    """Exactly: no step too few and none too many."""
    watch = order.observe(tiny(n_future=2, heads=layout, loss_scheme=scheme))
    assert watch.arrows == order.PAPER[layout]


def test_all_heads_at_once_is_another_order() -> None:
    """Naive: both heads go forward before one goes back, so two of ten steps are out of order."""
    config = tiny(n_future=2, loss_scheme="naive")
    record = order.run([config], {})["runs"][config.name()]
    values = {entry["metric"]: entry["value"] for entry in record["metrics"]}
    assert values["share_in_order"] == 80.0 and values["steps"] == 10 == len(record["order"])


@pytest.mark.parametrize("layout", head_layouts())
def test_logits_of_one_head_at_a_time(layout: str) -> None:
    """Figure 2's point; only the naive scheme holds all of them. A chunk of logits is one buffer for both ways."""
    heads = {}
    for scheme in ("naive", "checkpointed", "sequential", "chunked"):
        watch = order.observe(tiny(n_future=3, layers=5, heads=layout, loss_scheme=scheme))
        heads[scheme] = watch.most_losses
        assert scheme != "chunked" or watch.most_buffers == 1
    assert heads == {"naive": 3, "checkpointed": 1, "sequential": 1, "chunked": 1}


def test_without_a_drawing_of_the_paper_no_share() -> None:
    config = tiny(n_future=3, layers=5)
    metrics = order.run([config], {})["runs"][config.name()]["metrics"]
    assert "share_in_order" not in {entry["metric"] for entry in metrics}


def test_longest_common_subsequence() -> None:
    a, b, c = (("forward", x, x) for x in "abc")
    assert order.in_order([a, c, b], [a, b, c]) == 2
    assert order.in_order([b, a, b, c], [a, b, c]) == 3
    assert order.in_order([], [a]) == 0


def test_lanes_of_the_figure() -> None:
    steps = [dict(zip(("direction", "from", "to"), arrow, strict=True)) for arrow in order.PAPER["causal"]]
    assert lanes(steps) == ["input", "trunk", "head 1", "head 2", "loss 1", "loss 2"]
