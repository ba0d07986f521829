"""Load a trained run for evaluation: weights checked against the configuration, name by name."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from mtp import elsewhere
from mtp.config import RunConfig
from mtp.errors import UserError
from mtp.model import Model
from mtp.record import RECORD, WEIGHTS, load_config
from mtp.weights import on_meta

__all__ = ["RECORD", "WEIGHTS", "arithmetic", "load_config", "load_run"]


def load_run(run: Path, positions: int | None = None) -> tuple[Model, RunConfig]:
    """Model and configuration of a run, on the GPU if there is one, without gradients.

    Args:
        run: folder with model.safetensors and config.json.
        positions: longest sequence to decode, if longer than the training context.

    Raises:
        UserError: a file is missing or damaged, or a weight is missing, unknown or of another shape.
    """
    config = load_config(run)
    path = run / WEIGHTS
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = on_meta(config, positions)
    expected = model.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; train the run first (python -m mtp.train)") from None
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read ({error}); train the run again") from None
    if told := elsewhere.absent(run):
        raise UserError(f"{path}: the weights are not here ({told}); bring them (mtp.bundle --weights) or train here")
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise UserError(f"{path}: {name}: missing, but {run / RECORD} asks for it; is it of another run?")
        if name not in expected:
            raise UserError(f"{path}: {name}: unknown to the model of {run / RECORD}; is it of another run?")
        if found[name].shape != expected[name].shape:
            shapes = f"{list(found[name].shape)} instead of {list(expected[name].shape)}"
            raise UserError(f"{path}: {name}: shape {shapes}; is it of another run?")
    # Copies, since the file is mapped: there, weights lie where products are computed in another order.
    weights = {name: found[name].to(device, shape.dtype, copy=True) for name, shape in expected.items()}
    model.load_state_dict(weights, assign=True)
    return model.to(device).eval().requires_grad_(False), config


def arithmetic(model: Model) -> torch.autocast:
    """The arithmetic that the run was trained in, as a context manager."""
    device = next(model.parameters()).device.type
    return torch.autocast(device, torch.bfloat16, enabled=model.config.precision == "bfloat16")
