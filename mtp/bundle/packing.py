"""Pack what a machine without network needs: code, plan, data, benchmarks, in one compressed archive.

Of a token folder only vocabulary and manifest travel: its text travels as bytes and is encoded again over there, where
every file must have the SHA-256 that the manifest states. That halves the archive.
"""

import io
import lzma
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from mtp import elsewhere, problems, provenance
from mtp.atomic import replacing
from mtp.bundle.plan import Job, Plan, jobs_of
from mtp.config import nearest
from mtp.dag import Suite
from mtp.data.storage import MANIFEST
from mtp.data.tokenizer import ENCODED
from mtp.errors import UserError
from mtp.problems import _files, humaneval
from mtp.progress import bar

README = """\
A bundle of training runs, made by `python -m mtp.bundle pack`. It needs Python 3.11 or later with torch, numpy, tqdm,
tokenizers and safetensors, and no network.

    python -m mtp.bundle show                       # what there is to do, and what is done
    python -m mtp.bundle run --minutes 55           # do it, stop in time; the same command goes on
    python -m mtp.bundle run --only fig3            # a part, by words of the jobs' names

Each call leaves results.tar.xz. At home: python -m mtp.bundle accept results.tar.xz
"""
PRESET = 6
"""Of xz: 9 takes twice as long and saves 2 % of code."""


def suite_of(scale: str) -> Suite:
    """The whole scale, whether or not results of it have come back already."""
    return Suite({"scale": scale}, all_here=True)


def experiments_of(suite: Suite, names: Sequence[str]) -> list[str]:
    """The named experiments; all that the scale runs, in the order of the files, without names.

    Raises:
        UserError: no such experiment, or one that this scale does not run.
    """
    for name in names:
        if name not in suite.experiments:
            raise UserError(f"no experiment {name!r}{nearest(name, suite.experiments)}")
        if not suite.experiments[name].configurations:
            reason = next((p.skipped for p in suite.experiments[name].points if p.skipped), "it has no runs")
            raise UserError(f"{name}: nothing to do at the {suite.scale.scale} scale: {reason}")
    return list(names) or [name for name, e in suite.experiments.items() if e.configurations]


def missing(suite: Suite, jobs: Iterable[Job]) -> list[Job]:
    """The jobs whose results are neither here nor came back; with an evaluation the training that it needs."""
    todo: dict[str, Job] = {}
    all_jobs = {job.title: job for job in jobs}

    def want(job: Job) -> None:
        for title in job.needs:
            want(all_jobs[title])
        todo[job.title] = job

    for job in all_jobs.values():
        folder = Path(job.folder)
        done = elsewhere.read(elsewhere.counterpart(folder), job.name)
        back = done is not None and not elsewhere.differences(done, job.identity)
        if not back and not (folder / job.comes_back[0]).exists():
            want(job)
    return [job for title, job in all_jobs.items() if title in todo]


def data_folders(suite: Suite, jobs: Iterable[Job]) -> dict[Path, Path | None]:
    """Prepared folders that the jobs read -> the byte folder of the same corpus, if it is one of tokens.

    Raises:
        UserError: a run with a vocabulary that came with weights of others.
    """
    found: dict[Path, Path | None] = {}
    for run in dict.fromkeys(Path(job.folder).name for job in jobs if Path(job.folder).parent.name == "runs"):
        folder = Path(suite.data_folder(run))
        if suite.runs[run].checkpoint or suite.runs[run].vocabulary.startswith("sp"):
            raise UserError(f"{run}: weights and vocabularies of others do not travel in a bundle; leave it out")
        found[folder] = None if suite.runs[run].vocabulary == "bytes" else folder.parent / "bytes"
        if (source := found[folder]) is not None:
            found.setdefault(source, None)
    return found


def benchmarks_of(suite: Suite, jobs: Iterable[Job]) -> list[str]:
    """Names of the benchmarks without a package that evaluations among the jobs are of."""
    evals = {job.name for job in jobs if job.name in suite.scale.evals}
    return sorted({name for each in evals for name in problems.needed(each, suite.scale.evals[each])})


def prepare(scale: str, files: Iterable[Path]) -> None:
    """Have Snakemake make the data that are not there yet.

    Raises:
        UserError: it could not.
    """
    lacking = [str(path) for path in files if not path.exists()]
    if not lacking:
        return
    print(f"Preparing {len(lacking)} data folders", flush=True)
    command = [sys.executable, "-m", "snakemake", *lacking, "--cores", "all"]
    done = subprocess.run([*command, "--configfile", f"experiments/scales/{scale}.yaml"])
    if done.returncode:
        raise UserError(f"the data could not be prepared; see above, or run: {' '.join(command[1:])}")


def contents(suite: Suite, jobs: Sequence[Job]) -> tuple[dict[str, Path], dict[str, str]]:
    """Name in the archive -> file here, and the token folders that are to be encoded over there."""
    files: dict[str, Path] = {}
    for package in provenance.PACKAGES:
        files |= {str(p.relative_to(provenance.ROOT)): p for p in sorted((provenance.ROOT / package).rglob("*.py"))}
    encode: dict[str, str] = {}
    for folder, source in data_folders(suite, jobs).items():
        if source is not None:
            encode[str(folder)] = str(source)
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.name.startswith(".") and not (source and path.name in ENCODED):
                files[str(path)] = path
    for name in benchmarks_of(suite, jobs):
        for path in (_files.KEPT / f"{name}.json", _files.KEPT / problems.module(name).FILE):
            if path.exists():
                files[str(path)] = path
    files[str(_files.KEPT / humaneval.FILE)] = humaneval.packaged()  # 45 kB, and several evaluations ask for it
    return files, encode


def weigh(name: str) -> str:
    """To which line of the summary a file belongs."""
    parts = Path(name).parts
    return "/".join(parts[:4]) if parts[0] == "results" else parts[0]


class Counted:
    """A file whose reading moves a progress bar."""

    def __init__(self, file: IO[bytes], progress: Any) -> None:
        self.file, self.progress = file, progress

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.progress.update(len(data))
        return data


def write(archive: Path, files: dict[str, Path], texts: dict[str, str]) -> None:
    """Write the archive, with a progress bar over what is read."""
    total = sum(path.stat().st_size for path in files.values())
    with (
        replacing(archive) as temporary,
        lzma.open(temporary, "wb", preset=PRESET) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        bar(total=total, desc="pack", unit="B", unit_scale=True) as progress,
    ):
        for name, text in texts.items():
            information = tarfile.TarInfo(name)
            information.size, information.mtime = len(text.encode()), int(time.time())
            tar.addfile(information, io.BytesIO(text.encode()))
        for name, path in files.items():
            information = tar.gettarinfo(str(path), arcname=name)
            with path.open("rb") as file:
                tar.addfile(information, Counted(file, progress))  # type: ignore[arg-type]


def largest(files: dict[str, Path]) -> Iterator[str]:
    """The heaviest parts, in MiB before compression."""
    sizes: dict[str, int] = {}
    for name, path in files.items():
        sizes[weigh(name)] = sizes.get(weigh(name), 0) + path.stat().st_size
    for part, size in sorted(sizes.items(), key=lambda item: -item[1])[:4]:
        yield f"{part} {size / 2**20:.1f}"


def pack(scale: str, names: Sequence[str], archive: Path, limit_mib: float) -> str:
    """Write the archive; returns what it holds, in a few lines.

    Raises:
        UserError: unknown experiments, nothing left to do, or an archive above the limit.
    """
    suite = suite_of(scale)
    jobs = missing(suite, jobs_of(suite, experiments_of(suite, names)))
    if not jobs:
        raise UserError("nothing is left to do: every result is here or came back")
    manifests = [folder / MANIFEST for folder in data_folders(suite, jobs)]
    prepare(scale, [*manifests, *(_files.KEPT / f"{name}.json" for name in benchmarks_of(suite, jobs))])
    lacking = {job.name for job in jobs if problems.lacking(job.name, suite.scale.evals.get(job.name, {}))}
    for name in sorted(lacking):
        print(f"{name}: its data could not be had, so it is left out", flush=True)
    jobs = [job for job in jobs if job.name not in lacking]
    files, encode = contents(suite, jobs)
    with tempfile.TemporaryDirectory() as folder:
        Plan(scale, provenance.describe()["commit"], tuple(jobs), encode).write(Path(folder) / provenance.PLAN)
        write(archive, files, {provenance.PLAN: (Path(folder) / provenance.PLAN).read_text(), "README.txt": README})
    size = archive.stat().st_size / 2**20
    heaviest = ", ".join(largest(files))
    if size > limit_mib:
        archive.unlink()
        raise UserError(
            f"{archive}: {size:.1f} MiB, more than --limit-mib {limit_mib:g}; before compression: {heaviest} MiB;"
            " name fewer experiments, or give the scale a smaller corpus"
        )
    trained = [job for job in jobs if job.flops]
    return (
        f"{archive}: {size:.1f} MiB ({heaviest} MiB before compression)\n"
        f"{len(jobs)} jobs, {len(trained)} of them training runs of"
        f" {sum(job.flops for job in trained) / suite.scale.flops_per_second / 3600:.1f} GPU hours at the scale's"
        f" {suite.scale.flops_per_second:.2g} FLOP/s"
    )
