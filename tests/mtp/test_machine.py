"""Experiments that this machine cannot run sensibly say so."""

from pathlib import Path

import pytest

from mtp import machine
from mtp.errors import UserError
from mtp.experiment import load_scale, resolve
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("processor: 0\nflags\t\t: fpu avx2 avx512_bf16\n", False),
        ("Features\t: fp asimd bf16\n", False),
        ("flags\t\t: fpu avx2\n", True),
        (None, True),
    ],
)
def test_flags_of_the_cpu(text: str | None, lacking: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(machine, "CPUINFO", path)
    assert bool(machine.lacks_bfloat16()) == lacking


@pytest.mark.parametrize("reason", ["", "this CPU lacks it"])
def test_points_that_need_more_than_the_machine_has(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 runs anyway; bfloat16 runs or says why not."""
    monkeypatch.setitem(machine.NEEDS, "bfloat16 instructions", lambda: reason)  # type: ignore[arg-type]
    root = ROOT / "experiments"
    points = resolve(root / "ablations" / "precision.yaml", load_scale("cpu", root), root).points
    for point in points:
        expected = reason if point.axes["precision"] == "bfloat16" else ""
        assert point.skipped == expected and bool(point.runs) != bool(expected)


def test_an_unknown_need(tmp_path: Path) -> None:
    root = ROOT / "experiments"
    text = (root / "ablations" / "precision.yaml").read_text().replace("bfloat16 instructions", "bfloat16 instruction")
    path = tmp_path / "precision.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"needs: unknown 'bfloat16 instruction'; did you mean 'bfloat16 instructions'"):
        resolve(path, load_scale("cpu", root), root)
