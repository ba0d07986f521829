"""Train one run. Resumes from its checkpoint; on a CPU the weights come out bit-identical.

    python -m mtp.train --config results/cpu/runs/<run>/config.json --data results/data/code_small/bpe2048 --out DIR

Writes into DIR: model.safetensors, metrics.csv (every step), validation.csv (held-out bits per byte and accuracy
during training), config.json (configuration and provenance); checkpoint.pt while it runs. SIGTERM and Ctrl-C save a
checkpoint and stop; the same command goes on from there. A run that starts from another (`init_from`) needs --start.

Several processes train one run together under torchrun (docs/distributed.md):

    torchrun --standalone --nproc_per_node=2 -m mtp.train --parallel fsdp --config ... --data ... --out ...
"""

import argparse
import contextlib
import errno
import fcntl
import functools
import json
import logging
import math
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from mtp import checkpoint, cpu, elsewhere, parallel, provenance, snapshots, start, state
from mtp.atomic import replacing, write_text
from mtp.config import RunConfig
from mtp.data.batches import Batches
from mtp.data.examples import task_of
from mtp.data.mixture import Mixed, batches
from mtp.data.storage import need_space, read_manifest
from mtp.data.stream import Stream
from mtp.data.vocabulary import Vocabulary
from mtp.distributed import Ranks, one_process, processes, refuse
from mtp.documents import answers
from mtp.errors import UserError
from mtp.likelihood import held_out_score
from mtp.metrics import GrowingCsv, NoCsv
from mtp.model import Model
from mtp.modules import named_by
from mtp.progress import bar
from mtp.schedule import head_weights
from mtp.step import Step

log = logging.getLogger("mtp.train")
OTHER_ORDER = 1_000_000
"""Added to the seed of the order of windows where a run starts from another: it is not to read the same ones again."""
FLUSH_EVERY = 10
"""Steps between looks at the loss: reading it makes the host wait for a GPU."""
VALIDATION_BYTES, VALIDATION_BYTES_PER_POSITION = 8192, 24
"""Held-out text scored for a point of the validation curve: at least so much, more where windows are longer. The
tables' numbers come from the `likelihood` evaluation, which scores more. With 24 kB the four points of a byte model at
the cpu scale took as long as its training."""


OUTPUTS = ("model.safetensors", "metrics.csv", "validation.csv", "config.json")


class Stopped(Exception):
    """A signal asked for the end; a checkpoint has been written."""


class Signals:
    """Remembers SIGTERM and SIGINT until the step is over."""

    def __init__(self) -> None:
        self.received: int | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: Any) -> None:
        self.received = number


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock.

    A job orphaned by a killed Snakemake is asked to save and end (SIGTERM), so that its successor goes on from there.
    On another machine of a cluster no signal reaches it: its successor waits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder, _, host = file.read().partition(" ")
            here = host == socket.gethostname()
            log.warning(
                "process %s trains this run already, on %s; %s",
                *(holder, host, "asking it to save and stop" if here else "waiting for its end"),
            )
            if here:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(holder), signal.SIGTERM)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"{os.getpid()} {socket.gethostname()}")
        file.flush()
        yield


def finished(out: Path, identity: dict[str, str]) -> bool:
    """Whether the folder holds this very run, complete (an orphaned job may have ended it)."""
    try:
        record = json.loads((out / "config.json").read_text())
    except (OSError, json.JSONDecodeError):
        return False
    return record.get("identity") == identity and all((out / name).exists() for name in OUTPUTS)


def validation_steps(config: RunConfig) -> set[int]:
    """Steps (counted from 1) after which the validation curve has a point; the last step is always one."""
    return {math.ceil(config.steps * (i + 1) / config.validations) for i in range(config.validations)}


def validation_bytes(config: RunConfig) -> int:
    """Bytes of held-out text for a point of the validation curve."""
    return max(VALIDATION_BYTES, VALIDATION_BYTES_PER_POSITION * config.context)


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory so far: of the GPU if there is one, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def training_batches(data: Path, config: RunConfig) -> Batches | Mixed | Stream:
    """Windows of the prepared text, or of examples that are made on the way.

    Raises:
        UserError: the folder is not prepared, or too small for a batch.
    """
    seed = config.seed + (OTHER_ORDER if config.init_from else 0)
    if task_of(data) is not None:
        if config.fresh_names:
            raise UserError(f"{data}: fresh_names: examples of a synthetic task tell no stories")
        return Stream(data, config.context, config.batch_size, seed)
    return batches(data, "train", config.context, config.batch_size, seed, config.fresh_names)


class Trainer:
    """State of a run between steps: everything a checkpoint holds."""

    def __init__(
        self, config: RunConfig, data: Path, ranks: Ranks, way: str, begin: Callable[[Model], None] | None
    ) -> None:
        self.config, self.ranks = config, ranks
        self.vocabulary = Vocabulary.load(data)
        self.batches = training_batches(data, config)
        self.take = Step(config, ranks.device, parallel.choose(way, ranks), begin)
        self.step, self.bytes = 0, 0
        self.computed_by = [f"{self.take.way.title} from step 0"]
        """Who computed which part of the run: the last bits depend on it."""

    def save(self, out: Path, identity: dict[str, str]) -> None:
        numbers = {"step": self.step, "bytes": self.bytes, "computed_by": self.computed_by}
        tensors = state.tensors(self.take.model, self.take.optimizer)
        if self.ranks.size == 1:
            checkpoint.save(out, identity, numbers, tensors)
        else:
            checkpoint.save_shards(out, identity, numbers, tensors, self.ranks)

    def restore(self, saved: checkpoint.Saved) -> None:
        """Go on from a checkpoint, whatever number of processes wrote it."""
        self.step, self.bytes = saved.numbers["step"], saved.numbers["bytes"]
        self.computed_by = saved.numbers["computed_by"]
        if not self.computed_by[-1].startswith(f"{self.take.way.title} "):
            self.computed_by.append(f"{self.take.way.title} from step {self.step}")
        state.make_room(self.take.model, self.take.optimizer, checkpoint.names(saved))
        checkpoint.read(saved, state.tensors(self.take.model, self.take.optimizer))

    def weights(self) -> dict[str, torch.Tensor]:
        """All weights as the first process writes them; the others hold nothing, but must ask too."""
        found = {}
        for name, weight in self.take.model.named_parameters():
            whole = self.take.way.whole(weight.detach())
            if self.ranks.first:
                found[name] = whole.cpu().contiguous()
        return found

    def take_step(self) -> tuple[torch.Tensor, torch.Tensor, int, float, float]:
        """One optimiser step.

        Returns:
            losses_N: nats per target.
            norm: of the gradient.
            batch_bytes: of the text that is read.
            per_byte: targets of head 1 per byte of them.
            rate: learning rate.
        """
        host_BS = torch.from_numpy(self.batches.batch(self.step, self.config.n_future))
        read_BT = host_BS[:, 1 : self.config.context + 1].numpy()
        batch_bytes = int(self.vocabulary.byte_lengths[read_BT].sum())
        targets, target_bytes = read_BT.size, batch_bytes
        if self.config.loss_on == "answers":
            trained = read_BT[answers(host_BS, self.config.separator)[:, 1 : self.config.context + 1].numpy()]
            targets, target_bytes = trained.size, int(self.vocabulary.byte_lengths[trained].sum())
        losses_N, norm, rate = self.take(
            host_BS.pin_memory() if self.ranks.device.type == "cuda" else host_BS, self.step
        )
        self.step += 1
        return losses_N, norm, batch_bytes, targets / max(1, target_bytes), rate


def explain_divergence(config: RunConfig, step: int, rate: float, losses: np.ndarray, norm: float, out: Path) -> str:
    """One line: what went wrong, when, and what to go back to."""
    kept = [out / name for name in (checkpoint.LATEST, checkpoint.SHARDS) if (out / name).exists()]
    last_good = f"the last good checkpoint is {kept[-1]}" if kept else "there is no checkpoint before it"
    return (
        f"{config.name()}: training diverged at step {step} (losses {np.array2string(losses, precision=3)}, "
        f"gradient norm {norm:.3g}, learning rate {rate:.3g}); {last_good}; try a lower peak_lr or a longer warm-up"
    )


def train(
    config: RunConfig,
    data: Path,
    out: Path,
    code: str = "",
    checkpoint_seconds: float = 60,
    keep_checkpoint: bool = False,
    ranks: Ranks | None = None,
    way: str = "ddp",
    start_run: Path | None = None,
) -> Path:
    """Train to the end or resume; returns the path of the weights.

    `ranks`: this process among several that train the run in the `way` of mtp/parallel; default: alone. All raise the
    same errors at the same step. `start_run`: folder of the run named by `init_from`.

    Raises:
        UserError: divergence (step, rate and last good checkpoint named), missing data, full disk, weights that others
            have trained.
        Stopped: after SIGTERM or SIGINT to any of the processes, with a checkpoint saved.
    """
    if config.checkpoint:
        raise UserError(
            f"{config.name()}: checkpoint: {config.checkpoint}: others have trained it; python -m mtp.released makes"
            " it a run"
        )
    ranks = ranks or one_process()
    refuse(ranks, config.batch_size)
    device = ranks.device
    arithmetic = cpu.prepare(config.precision, config.compile) if device.type == "cpu" else config.precision
    signals = Signals()
    identity = {"configuration": config.to_json(), "code": code, "arithmetic": arithmetic}
    begin = None
    if (parent := start.parent_of(config, start_run)) is not None and start_run is not None:
        identity["start"] = start.digest(start_run)
        begin = functools.partial(start.begin, parent=parent, run=start_run)
    if ranks.as_first(finished(out, identity)):
        log.info("%s is finished already", config.name())
        return out / "model.safetensors"
    # Two checkpoints of weights and two moments in float32, and the weights once more: 28 bytes per weight;
    # 4 for each snapshot.
    need_space(out, (28 + 4 * config.snapshots) * config.parameters)
    trainer = Trainer(config, data, ranks, way, begin)
    saved = ranks.as_first(checkpoint.find(out, identity) if ranks.first else None)
    if saved is not None:
        trainer.restore(saved)
        log.info("resumed at step %d of %d", trainer.step, config.steps)
    n = config.n_future
    heads = [f"loss_{i + 1}" for i in range(n)]
    growing = {
        "metrics.csv": ["step", "tokens", "bytes", *heads, "bits_per_byte", "lr", "grad_norm", "tokens_per_second",
                        "peak_memory_mb"],
        "validation.csv": ["step", "tokens", "bytes",
                           *(f"{metric}_{i + 1}" for metric in ("bits_per_byte", "accuracy") for i in range(n))],
    }  # fmt: skip
    # Snakemake deletes the declared outputs of a killed job: rows grow in undeclared files until all is done.
    metrics, curve = (
        GrowingCsv(out / name.replace(".csv", ".partial.csv"), columns, trainer.step) if ranks.first else NoCsv()
        for name, columns in growing.items()
    )
    points, kept = validation_steps(config), snapshots.steps(config)
    hopeless = 3 * math.log(config.vocab_size)
    pending: list[tuple[int, torch.Tensor, torch.Tensor, int, float, float]] = []
    started, timed_from, saved_at = time.perf_counter(), time.perf_counter(), time.monotonic()

    def flush() -> None:
        nonlocal timed_from
        now = time.perf_counter()
        speed = len(pending) * config.batch_size * config.context / max(now - timed_from, 1e-9)
        timed_from = now
        for step, losses_N, norm, batch_bytes, per_byte, rate in pending:
            losses = losses_N.double().cpu().numpy()
            trained = np.array(head_weights(config, step - 1)) > 0
            if not np.isfinite(losses[trained]).all() or not math.isfinite(float(norm)) or losses[0] > hopeless:
                raise UserError(explain_divergence(config, step, rate, losses, float(norm), out))
            trainer.bytes += batch_bytes
            bits = losses[0] / math.log(2) * per_byte
            metrics.append(
                [step, step * config.batch_size * config.context, trainer.bytes, *losses.tolist(), bits, rate,
                 float(norm), speed, peak_memory_mb(device)]
            )  # fmt: skip
            progress.set_postfix_str(f"loss {losses[0]:.3f}", refresh=False)
        pending.clear()
        metrics.flush()

    progress = bar(total=config.steps, initial=trainer.step, desc=config.name(), unit="step", disable=not ranks.first)
    with progress:
        while trainer.step < config.steps:
            taken = trainer.take_step()
            pending.append((trainer.step, *taken))
            progress.update()
            validate = trainer.step in points
            late = time.monotonic() - saved_at > checkpoint_seconds
            # Every process may get a signal and has a clock of its own, but all must do the same.
            received, save = ranks.highest([signals.received or 0, signals.received is not None or late])
            if validate or save or len(pending) >= FLUSH_EVERY or trainer.step == config.steps:
                flush()
            if validate:
                with trainer.take.way.readable(), trainer.take.autocast():
                    score = held_out_score(trainer.take.model, data, trainer.vocabulary, validation_bytes(config))
                read = [trainer.step, trainer.step * config.batch_size * config.context, trainer.bytes]
                curve.append([*read, *score.bits_per_byte_N, *(100 * score.accuracy_N)])
                curve.flush()
                timed_from = time.perf_counter()
            if trainer.step in kept:
                weights = trainer.weights()
                if ranks.first:
                    write_weights(snapshots.path(out, trainer.step), weights)
            if save and trainer.step < config.steps:
                trainer.save(out, identity)
                saved_at = time.monotonic()
            if received and trainer.step < config.steps:
                metrics.close()
                curve.close()
                raise Stopped(
                    f"{config.name()}: stopped by signal {received:.0f} at step {trainer.step}; checkpoint saved"
                )
    metrics.close()
    curve.close()
    weights = trainer.weights()
    if ranks.first:
        write_weights(out / "model.safetensors", weights)
        for name in growing:
            write_text(out / name, (out / name.replace(".csv", ".partial.csv")).read_text())
        record = {
            "run": config.name(),
            "identity": identity,
            "config": config.to_dict(),
            "parameters": config.parameters,
            "non_embedding_parameters": config.non_embedding_parameters,
            "tokens": config.tokens,
            "bytes": trainer.bytes,
            "flops": config.flops,
            "provenance": provenance.describe(
                code=code,
                arithmetic=arithmetic,
                device=str(device),
                computed_by=trainer.computed_by,
                seconds_of_last_attempt=round(time.perf_counter() - started, 1),
            ),
        }
        write_text(out / "config.json", json.dumps(record, indent=1) + "\n")
        if not keep_checkpoint:
            checkpoint.remove(out)
        for name in growing:
            (out / name.replace(".csv", ".partial.csv")).unlink()
    ranks.wait()
    return out / "model.safetensors"


def write_weights(path: Path, weights: dict[str, torch.Tensor]) -> None:
    """
    Raises:
        UserError: the disk is full.
    """
    with replacing(path) as temporary:
        try:
            save_file(weights, temporary)
        except SafetensorError as error:
            raise UserError(f"{path}: could not be written ({error}); is the disk full?") from None


def read_config(argument: str) -> RunConfig:
    """A configuration from JSON text, or from a file that holds it (a run's config.json works).

    Raises:
        UserError: naming the file and the key.
    """
    source = "--config"
    text = argument
    if not argument.lstrip().startswith("{"):
        source = argument
        try:
            text = Path(argument).read_text()
        except OSError as error:
            raise UserError(f"--config: {argument}: {error.strerror}") from None
    try:
        values = json.loads(text)
        return RunConfig.from_dict(values.get("config", values))
    except json.JSONDecodeError as error:
        raise UserError(f"{source}: not JSON: {error}") from None
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mtp.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", required=True, help="JSON text of a RunConfig, or a file that holds it")
    parser.add_argument("--data", required=True, type=Path, help="prepared folder of the corpus and vocabulary")
    parser.add_argument("--out", required=True, type=Path, help="folder of the run")
    parser.add_argument("--start", type=Path, help="folder of the finished run that this one starts from (init_from)")
    parser.add_argument("--code", default="", help="fingerprint of the code; default: computed here")
    parser.add_argument("--checkpoint-seconds", type=float, default=60, help="time between checkpoints (default 60)")
    parser.add_argument("--keep-checkpoint", action="store_true", help="keep checkpoint.pt when the run is finished")
    parser.add_argument(
        "--parallel",
        choices=parallel.NAMES,
        default="ddp",
        help="with several processes: the whole model on each (ddp, default), or a piece of it (fsdp)",
    )
    args = parser.parse_args(argv)
    first = os.environ.get("RANK", "0") == "0"
    level = logging.INFO if first else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    try:
        config = read_config(args.config)
        task = read_manifest(args.data).get("corpus", {}).get("task", "")
        code = args.code or provenance.fingerprint("mtp.train", named_by(config, task))
        with processes() as ranks, alone(args.out) if ranks.first else contextlib.nullcontext():
            ranks.wait()
            found = {"configuration": config.to_json(), "code": code}
            if ranks.as_first(elsewhere.take_run(args.out, found) if ranks.first else None):
                return
            train(
                config,
                args.data,
                args.out,
                code,
                args.checkpoint_seconds,
                args.keep_checkpoint,
                ranks,
                args.parallel,
                args.start,
            )
    except UserError as error:
        if first:
            print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"error: {args.out}: {error.strerror}; make room and run again", file=sys.stderr)
        sys.exit(2)
    except Stopped as error:
        if first:
            print(str(error), file=sys.stderr)
        sys.exit(143)


if __name__ == "__main__":
    main()
