"""The jobs of a bundle, in the order in which they are to be done, and which of them are done already. No torch."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtp.atomic import write_text
from mtp.errors import UserError

if TYPE_CHECKING:  # the machine that runs a bundle lacks what reads experiments
    from mtp.dag import Suite

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Job:
    """One process: `python -m module arguments`."""

    name: str
    """Of the job within its folder: train, the evaluation, or the measured experiment."""
    module: str
    arguments: tuple[str, ...]
    folder: str
    """Where its files go: results/<scale>/runs/<run> or results/<scale>/measurements."""
    comes_back: tuple[str, ...]
    """Names of the files that are sent back; those that it does not write are left out."""
    identity: dict[str, str]
    """What decides the result (`mtp.elsewhere.Done`)."""
    log: str
    needs: tuple[str, ...] = ()
    """Titles of the jobs that must be done before."""
    share: int = 100
    """Percent of a GPU that it is given."""
    flops: float = 0.0
    """Of training; 0 where nothing is trained."""

    @property
    def title(self) -> str:
        """Unique within a plan."""
        return f"{Path(self.folder).name}/{self.name}"

    @classmethod
    def of(cls, told: dict[str, Any]) -> "Job":
        """From JSON, which knows no tuples."""
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in told.items()}
        return cls(**values)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a bundle holds: jobs, and token folders to be encoded there (token folder -> byte folder)."""

    scale: str
    commit: str
    jobs: tuple[Job, ...]
    encode: dict[str, str]

    def write(self, path: Path) -> None:
        write_text(path, json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """
        Raises:
            UserError: no plan, or one of another format.
        """
        try:
            values: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; unpack the bundle and run in its folder") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: not the plan of a bundle ({error})") from None
        if values.get("format") != FORMAT:
            raise UserError(f"{path}: format {values.get('format')!r}, but this code reads {FORMAT}; pack it again")
        jobs = tuple(Job.of(told) for told in values["jobs"])
        return cls(values["scale"], values["commit"], jobs, values["encode"])


def chosen(jobs: Sequence[Job], words: Sequence[str]) -> list[Job]:
    """The jobs whose title contains one of the words, and what they need; all without words.

    Raises:
        UserError: a word that no title contains.
    """
    if not words:
        return list(jobs)
    by_title = {job.title: job for job in jobs}
    found: set[str] = set()
    todo: list[str] = []
    for word in words:
        matching = [title for title in by_title if word in title]
        if not matching:
            raise UserError(f"--only: no job's name contains {word!r}; `python -m mtp.bundle show` lists them")
        todo += matching
    while todo:
        title = todo.pop()
        if title not in found:
            found.add(title)
            todo += by_title[title].needs
    return [job for job in jobs if job.title in found]


def jobs_of(suite: "Suite", names: Sequence[str]) -> Iterator[Job]:
    """Every job behind the named experiments: a run's training, then its evaluations, then the next run's.

    Experiments come in the order in which they are named, each job once.
    """
    told: set[str] = set()
    for name in names:
        experiment = suite.experiments[name]
        if experiment.spec.measure and experiment.configurations:
            yield suite.measure_job(name)
        for run in experiment.runs:
            wanted = [suite.train_job(r) for r in (suite.runs[run].init_from, run) if r]
            wanted += [suite.eval_job(run, evaluation) for evaluation in experiment.evals]
            for job in wanted:
                if job.title not in told:
                    told.add(job.title)
                    yield job
