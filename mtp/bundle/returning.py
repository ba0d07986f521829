"""Bring results home: an archive of small files there, a folder that the DAG takes them from here."""

import tarfile
from collections.abc import Sequence
from pathlib import Path

from mtp import elsewhere
from mtp.atomic import replacing
from mtp.bundle.plan import Job
from mtp.errors import UserError
from mtp.record import WEIGHTS


def collect(jobs: Sequence[Job], archive: Path, weights: bool = False) -> int:
    """Write the files of all finished jobs, with records and logs; returns how many jobs there are in it.

    `weights`: those of the runs too, which are large.
    """
    finished = [job for job in jobs if elsewhere.read(Path(job.folder), job.name)]
    with replacing(archive) as temporary, tarfile.open(temporary, "w:xz") as tar:
        for job in finished:
            folder = Path(job.folder)
            inside = folder.relative_to(Path(job.folder).parents[1 if folder.parent.name == "runs" else 0])
            names = [*job.comes_back, f"{job.name}{elsewhere.RECORD}", *([WEIGHTS] if weights and job.flops else [])]
            for name in names:
                if (folder / name).exists():
                    tar.add(folder / name, arcname=str(inside / name))
            if Path(job.log).exists():
                tar.add(job.log, arcname=str(inside / f"{job.name}.log"))
    return len(finished)


def accept(archive: Path, results: Path, jobs: Sequence[Job]) -> tuple[list[str], dict[str, str]]:
    """Put the results of an archive where the jobs of this scale find them.

    Args:
        results: results/<scale>.
        jobs: all of the scale, as they would be done here.

    Returns:
        accepted: titles.
        refused: title -> why: the scale has no such job, or it is of another configuration, settings or code.

    Raises:
        UserError: not an archive of results.
    """
    by_place = {(Path(job.folder).relative_to(results), job.name): job for job in jobs}
    accepted: list[str] = []
    refused: dict[str, str] = {}
    into = results / elsewhere.FOLDER
    incoming = results / ".incoming"
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(incoming, filter="data")
    except (OSError, tarfile.TarError, EOFError) as error:
        raise UserError(f"{archive}: not an archive of results ({error})") from None
    for record in sorted(incoming.rglob(f"*{elsewhere.RECORD}")):
        name = record.name.removesuffix(elsewhere.RECORD)
        place = record.parent.relative_to(incoming)
        title = f"{place.name}/{name}"
        done = elsewhere.read(record.parent, name)
        job = by_place.get((place, name))
        if done is None:
            refused[title] = "its files are not all in the archive"
        elif job is None:
            refused[title] = "no experiment of this scale asks for it"
        elif differ := elsewhere.differences(done, job.identity):
            refused[title] = f"of another {' and '.join(differ)} than here"
        else:
            target = into / place
            target.mkdir(parents=True, exist_ok=True)
            for file in (*done.files, WEIGHTS, f"{name}.log", record.name):  # the record last
                if (record.parent / file).exists() and (file != WEIGHTS or name == "train"):
                    (record.parent / file).replace(target / file)
            accepted.append(title)
    for path in sorted(incoming.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    incoming.rmdir()
    if not accepted and not refused:
        raise UserError(f"{archive}: holds no results")
    return accepted, refused
