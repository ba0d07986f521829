"""A tiny suite in a folder: one experiment whose numbers can be checked by hand."""

import json
from pathlib import Path
from typing import Any

from mtp.experiment import Experiment, load_scale, resolve

SCALE = """
scale: tiny
about: for a test
seeds: [0, 1]
corpora: {code: code_tiny}
vocabularies: {bytes: bytes}
sizes:
  0.3B: {dim: 16, layers: 4, attention_heads: 2}
  0.6B: {dim: 32, layers: 4, attention_heads: 2}
recipes: {1B: {context: 32, batch_size: 4, steps: 20, peak_lr: 4e-3}}
evals: {likelihood: {}, humaneval: {}}
measures: {step_time: {}}
flops_per_second: 1e+10
"""
SPEC = """
label: Table T
title: Tiny
base: {corpus: code, vocabulary: bytes, recipe: 1B, size: 0.3B}
grid: {n_future: [1, 2, 3]}
at: {tiny: {grid: {n_future: [1, 2]}}}
evals: [likelihood, humaneval]
published: {file: tiny.csv, axes: {n: n_future}}
metrics:
  bits: {title: bits/byte, metric: bits_per_byte, where: {text: code, head: 1}, digits: 3}
  pass: {title: HumanEval@1, metric: pass@k, where: {benchmark: HumanEval, k: 1}, better: higher, digits: 1,
         published: {benchmark: HumanEval, k: 1}}
  mbpp: {title: MBPP@1, metric: pass@k, where: {benchmark: MBPP, k: 1}, better: higher, digits: 1,
         published: {benchmark: MBPP, k: 1}}
figures: [{name: bars, kind: bars, x: n_future, metrics: [bits, pass]}]
claims:
  - {text: two are worse, where: here, metric: bits, these: {n_future: 1}, than: {n_future: 2}}
  - {text: two are better, where: here, metric: bits, these: {n_future: 2}, than: {n_future: 1}}
  - {text: two solve more, where: here, metric: pass, these: {n_future: 2}, than: {n_future: 1}}
  - {text: three solve more, where: here, metric: pass, these: {n_future: 3}, than: {n_future: 1}}
  - {text: two solve more of MBPP, where: here, metric: mbpp, these: {n_future: 2}, than: {n_future: 1}}
"""
PAPER = """label,n,benchmark,k,value
Table T,1,HumanEval,1,18.1
Table T,2,HumanEval,1,21.8
Table T,3,HumanEval,1.0,20.0
Table T,1,HumanEval,10,28.2
Table T,1,MBPP,1,19.3
"""
BITS = {(1, 0): 2.0, (1, 1): 2.2, (2, 0): 2.5, (2, 1): 2.75}
"""(n_future, seed) -> bits per byte."""


def build(folder: Path, spec: str = SPEC, paper: str = PAPER, **changes: Any) -> Experiment:
    """Write experiments and results; `changes` replace parts of the records: `passed`, `bits`, `humaneval`."""
    root = folder / "experiments"
    (root / "scales").mkdir(parents=True, exist_ok=True)
    (root / "paper").mkdir(exist_ok=True)
    (root / "scales" / "tiny.yaml").write_text(SCALE)
    (root / "paper" / "tiny.csv").write_text(paper)
    (root / "paper" / "tiny.yaml").write_text(spec)
    experiment = resolve(root / "paper" / "tiny.yaml", load_scale("tiny", root), root)
    for name, config in experiment.runs.items():
        at = folder / "results" / "tiny" / "runs" / name
        at.mkdir(parents=True, exist_ok=True)
        bits = changes.get("bits", BITS)[config.n_future, config.seed]
        records = {
            "likelihood": [{"metric": "bits_per_byte", "text": "code", "head": 1, "value": bits}],
            "humaneval": [{"metric": "pass@k", "benchmark": "HumanEval", "k": 1, "value": changes.get("passed", 0.0)}],
        }
        for evaluation, metrics in records.items():
            record = {"eval": evaluation, "status": "measured", "reason": "", "metrics": metrics}
            (at / f"{evaluation}.json").write_text(json.dumps(record | changes.get(evaluation, {})))
    return experiment


ARGUMENTS = ("--scale", "tiny", "--results", "results", "--figures", "figures", "--experiments", "experiments")
