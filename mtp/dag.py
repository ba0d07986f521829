"""What the Snakefile needs to know: runs, evaluations, measurements, data and exhibits of a scale. No torch.

The rules in `workflow/rules/` hold no logic of their own; everything they ask is a method of `Suite`.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mtp import drawn, elsewhere, evals, experiment, imported, launch, measures, problems, provenance
from mtp.bundle.plan import Job
from mtp.data.corpora import Corpus, Finetuning, Synthetic, load_corpus
from mtp.errors import UserError
from mtp.modules import named_by
from mtp.problems import _files

DATA = "results/data"


class Suite:
    """All experiments at one scale, and the paths and parameters of their jobs."""

    def __init__(self, config: Mapping[str, Any], all_here: bool = False) -> None:
        """`config` is Snakemake's: it names the scale, and must otherwise equal the scale's file.

        Where results of another machine have come back (`mtp.elsewhere`), the scale is what came back: the rest of it
        is not run here. `all_here` has all of it.

        Raises:
            UserError: a bad YAML, before anything runs; names file and key.
        """
        name = str(config.get("scale", "cpu"))
        self.scale = experiment.load_scale(name)
        on_file = experiment.read_yaml(experiment.EXPERIMENTS / "scales" / f"{name}.yaml")
        for key, value in config.items():
            if on_file.get(key) != value:
                raise UserError(
                    f"--config {key}: differs from experiments/scales/{name}.yaml; "
                    "edit that file or add a scale of your own beside it"
                )
        results = None if all_here else Path(f"results/{name}")
        self.experiments = experiment.load_all(self.scale, results=results)
        self.runs = experiment.all_runs(self.experiments)
        self.wanted = experiment.evals_of_runs(self.experiments)
        self.results, self.figures = f"results/{name}", f"figures/{name}"
        for evaluation, settings in self.scale.evals.items():
            try:
                evals.module_of(evaluation).check(settings)
            except UserError as error:
                told = str(error).removeprefix("settings: ").removeprefix("--eval: ")
                raise UserError(f"experiments/scales/{name}.yaml: evals.{evaluation}: {told}") from None
        gpus, nodes = self.scale.gpus_per_run, self.scale.nodes_per_run
        if nodes > 1 and (gpus < nodes or gpus % nodes):
            raise UserError(
                f"experiments/scales/{name}.yaml: nodes_per_run: gpus_per_run: {gpus} cannot be shared equally by"
                f" {nodes} nodes"
            )
        for run in self.runs.values():
            if gpus > 1 and run.batch_size % gpus:
                raise UserError(
                    f"experiments/scales/{name}.yaml: gpus_per_run: {gpus} processes cannot share batch_size:"
                    f" {run.batch_size} equally ({run.name()})"
                )
        try:
            corpora = sorted({run.corpus for run in self.runs.values()})
            self.corpora = {corpus: load_corpus(corpus) for corpus in corpora}
        except UserError as error:
            raise UserError(f"experiments/scales/{name}.yaml: corpora: {error}") from None
        for run in self.runs.values():
            if run.corpus in self.synthetic and run.vocabulary != "bytes":
                raise UserError(
                    f"corpus {run.corpus}: examples are bytes; vocabulary: {run.vocabulary} is not possible"
                )
            if run.init_from and run.vocabulary.startswith("bpe"):
                ours, theirs = (self._tokenizer_of(corpus) for corpus in (run.corpus, self.runs[run.init_from].corpus))
                if ours != theirs:
                    raise UserError(
                        f"corpus {run.corpus}: its tokens are those of {ours}, but {run.init_from}, from which"
                        f" {run.name()} starts, reads those of {theirs}; name it as tokenizer: in the corpus"
                    )
        if not all_here:
            self._check_what_came_back()
        # Jobs must find this interpreter even when its environment was not activated.
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        # Two jobs on two cores: spinning threads would starve the neighbour.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")

    def _check_what_came_back(self) -> None:
        """
        Raises:
            UserError: results of another machine are of other code or settings than those here.
        """
        jobs = [self.train_job(run) for run in self.runs]
        jobs += [self.eval_job(run, name) for run, names in self.wanted.items() for name in names]
        jobs += [self.measure_job(name) for name, e in self.experiments.items() if e.spec.measure and e.configurations]
        for job in jobs:
            folder = elsewhere.counterpart(Path(job.folder))
            done = elsewhere.read(folder, job.name)
            if done and (differ := elsewhere.differences(done, job.identity)):
                raise UserError(
                    f"{folder}: {job.name}: of another {' and '.join(differ)} than here; run a new bundle, go back to"
                    f" the commit of the old one, or move {self.results}/{elsewhere.FOLDER} away to compute it all here"
                )

    # ---- data ----------------------------------------------------------------------------------------

    def data_folder(self, run: str) -> str:
        """Folder of the tokens that a run trains on."""
        config = self.runs[run]
        return f"{DATA}/{config.corpus}/{config.vocabulary}"

    def data_manifest(self, run: str) -> str:
        """The manifest stands for the data: it holds their sha256, and touching it changes nothing."""
        return f"{self.data_folder(run)}/manifest.json"

    def _corpus(self, name: str) -> Corpus:
        return self.corpora[name] if name in self.corpora else load_corpus(name)

    def corpus_json(self, corpus: str) -> str:
        return self._corpus(corpus).to_json()

    def corpus_code(self, corpus: str) -> str:
        """Fingerprint of what prepares a corpus."""
        found = self._corpus(corpus)
        named = (f"mtp.finetuning.{found.set}",) if isinstance(found, Finetuning) else ()
        return provenance.fingerprint("mtp.data.build", named)

    def source_files(self, corpus: str) -> list[str]:
        """Manifest of the corpus that a finetuning set is made of, if it is made of one."""
        found = self._corpus(corpus)
        return [f"{DATA}/{found.source}/bytes/manifest.json"] if isinstance(found, Finetuning) and found.source else []

    def _tokenizer_of(self, corpus: str) -> str:
        """The corpus that the tokens of a corpus are learnt from: itself, or the one that it names."""
        found = self._corpus(corpus)
        return found.tokenizer if isinstance(found, Finetuning) and found.tokenizer else corpus

    def tokenizer_files(self, corpus: str, size: str) -> list[str]:
        """Manifest of the tokens whose vocabulary a corpus borrows, if it does."""
        lender = self._tokenizer_of(corpus)
        return [f"{DATA}/{lender}/bpe{size}/manifest.json"] if lender != corpus else []

    @property
    def synthetic(self) -> dict[str, str]:
        """Corpus -> task, of the corpora whose examples are made while training."""
        return {name: corpus.task for name, corpus in self.corpora.items() if isinstance(corpus, Synthetic)}

    def examples_code(self, corpus: str) -> str:
        """Fingerprint of what prepares a synthetic corpus."""
        return provenance.fingerprint("mtp.data.examples", ("synthetic", f"synthetic.{self.synthetic[corpus]}"))

    # ---- benchmarks ----------------------------------------------------------------------------------

    @property
    def fetched(self) -> tuple[str, ...]:
        """Benchmarks whose data come with no package."""
        return problems.fetched()

    def benchmark_files(self, evaluation: str) -> list[str]:
        """The manifests of the fetched benchmarks that an evaluation is of."""
        needed = problems.needed(evaluation, self.scale.evals.get(evaluation, {}))
        return [str(_files.KEPT / f"{name}.json") for name in needed]

    def benchmark_folder(self, name: str) -> str:
        """Where a scale's settings say that a benchmark's file lies; empty if they do not."""
        return str(self.scale.evals.get(name, {}).get("folder", ""))

    def benchmark_state(self, name: str) -> str:
        """Changes when a benchmark that could not be had is offered by the user: then it is fetched again."""
        return _files.state(name, problems.module(name).FILE, self.benchmark_folder(name))

    # ---- runs ----------------------------------------------------------------------------------------

    def run_json(self, run: str) -> str:
        return self.runs[run].to_json()

    @property
    def imported(self) -> list[str]:
        """Runs whose weights others have trained."""
        return [name for name, run in self.runs.items() if run.checkpoint]

    @property
    def trained(self) -> list[str]:
        """All other runs."""
        return [name for name, run in self.runs.items() if not run.checkpoint]

    def checkpoint_files(self, run: str) -> list[str]:
        """What a run's weights are taken from."""
        return imported.files_of(self.runs[run])

    def pieces_model(self, size: str) -> list[str]:
        """The SentencePiece model of the checkpoints that are here with a vocabulary of this size."""
        found = [run for run in self.runs.values() if run.checkpoint and run.vocabulary == f"sp{size}"]
        return [str(imported.tokenizer_of(run.checkpoint)) for run in found[:1]]

    def start_files(self, run: str) -> list[str]:
        """Weights and record of the run that a run starts from, if it starts from one."""
        parent = self.runs[run].init_from
        return [f"{self.results}/runs/{parent}/{file}" for file in ("model.safetensors", "config.json") if parent]

    def start_option(self, run: str) -> str:
        """Where `mtp.train` finds the run to start from; empty if there is none."""
        parent = self.runs[run].init_from
        return f"--start {self.results}/runs/{parent}" if parent else ""

    def python(self) -> str:
        """What runs a module: on a CPU jobs are so short that importing torch or pandas would count."""
        return "python -m" if self.scale.gpus_per_run else "python -m mtp.warm"

    def train_command(self) -> str:
        """What trains one run: a process, or a process per GPU on one machine or several (docs/distributed.md)."""
        return launch.several(self.scale) or f"{self.python()} mtp.train"

    def nodes(self) -> dict[str, int | str]:
        """What a run on several machines asks of Slurm besides its GPUs: a task on each, for an srun of its own."""
        gpus, nodes = self.scale.gpus_per_run, self.scale.nodes_per_run
        return {"nodes": nodes, "tasks": nodes, "mpi": "srun", "gres": f"gpu:{gpus // nodes}"} if nodes > 1 else {}

    def train_code(self, run: str) -> str:
        """Fingerprint of the training code with what this run's configuration and corpus name."""
        return provenance.fingerprint("mtp.train", self._named_by(run))

    def _named_by(self, run: str) -> tuple[str, ...]:
        return named_by(self.runs[run], getattr(self.corpora[self.runs[run].corpus], "task", ""))

    def eval_settings(self, name: str) -> str:
        return json.dumps(self.scale.evals[name], sort_keys=True)

    def eval_code(self, run: str, name: str) -> str:
        return provenance.fingerprint("mtp.evaluate", (f"mtp.evals.{name}", *self._named_by(run)))

    # ---- jobs elsewhere ------------------------------------------------------------------------------

    def train_job(self, run: str) -> Job:
        """The training of a run as one process."""
        folder, parent = f"{self.results}/runs/{run}", self.runs[run].init_from
        return Job(
            name="train",
            module="mtp.train",
            arguments=(
                "--config", self.run_json(run), "--code", self.train_code(run), "--data", self.data_folder(run),
                "--out", folder, *self.start_option(run).split(),
                "--checkpoint-seconds", str(self.scale.checkpoint_seconds),
            ),
            folder=folder,
            comes_back=("config.json", "metrics.csv", "validation.csv"),
            identity={"configuration": self.run_json(run), "code": self.train_code(run)},
            log=f"{self.results}/logs/train/{run}.log",
            needs=(f"{parent}/train",) if parent else (),
            share=self.gpu_share(run),
            flops=self.runs[run].flops,
        )  # fmt: skip

    def eval_job(self, run: str, name: str) -> Job:
        """An evaluation of a run: only the model's part of it, where the rest needs no GPU."""
        folder, settings, code = f"{self.results}/runs/{run}", self.eval_settings(name), self.eval_code(run, name)
        module = evals.module_of(name)
        two_parts = hasattr(module, "draw")
        decides = drawn.code_of(module, self._named_by(run)) if two_parts else code
        return Job(
            name=name,
            module="mtp.evaluate",
            arguments=(
                "--run", folder, "--data", self.data_folder(run), "--eval", name, "--settings", settings,
                "--code", code, "--out", f"{folder}/{name}.json", *(["--draw"] if two_parts else []),
            ),
            folder=folder,
            comes_back=(drawn.path_of(Path(folder), name).name if two_parts else f"{name}.json",),
            identity={"settings": settings, "code": decides},
            log=f"{self.results}/logs/evaluate/{run}.{name}.log",
            needs=(f"{run}/train",),
            share=self.gpu_share(run),
        )  # fmt: skip

    def measure_job(self, name: str) -> Job:
        """What an experiment measures, as one process; nothing runs beside it on a GPU."""
        folder, configs, settings = f"{self.results}/measurements", self.measure_json(name), self.measure_settings(name)
        code = self.measure_code(name)
        return Job(
            name=name,
            module="mtp.measure",
            arguments=(
                "--name", self.experiments[name].spec.measure, "--experiment", name, "--configs", configs,
                "--settings", settings, "--code", code, "--out", f"{folder}/{name}.json",
            ),
            folder=folder,
            comes_back=(f"{name}.json",),
            identity={"configurations": configs, "settings": settings, "code": code},
            log=f"{self.results}/logs/measure/{name}.log",
        )  # fmt: skip

    def gpu_share(self, run: str) -> int:
        """Percent of a GPU for a run: small models leave it idle between kernels, so several share it."""
        weights = self.runs[run].parameters
        beside = [count for limit, count in self.scale.side_by_side.items() if weights <= limit]
        return 100 // max(beside, default=1)

    # ---- exhibits ------------------------------------------------------------------------------------

    def eval_files(self, name: str) -> list[str]:
        """Results that an experiment is made of."""
        e = self.experiments[name]
        measured = [f"{self.results}/measurements/{name}.json"] if e.spec.measure and e.configurations else []
        return measured + [f"{self.results}/runs/{run}/{eval_}.json" for run in e.runs for eval_ in e.evals]

    def run_files(self, name: str) -> list[str]:
        """Records of an experiment's runs."""
        return [f"{self.results}/runs/{run}/config.json" for run in self.experiments[name].runs]

    def baseline_files(self, name: str) -> list[str]:
        """Compressors and n-grams to draw beside learning curves."""
        e = self.experiments[name]
        if not any(figure.kind == "learning_curves" for figure in e.spec.figures):
            return []
        corpora = {run.corpus for run in e.runs.values()} - self.synthetic.keys()
        return [f"{DATA}/{corpus}/baselines.json" for corpus in sorted(corpora)]

    def published_files(self, name: str) -> list[str]:
        """The paper's CSVs that an experiment shows."""
        e = self.experiments[name]
        shown = [e.spec.published, *(figure.published for figure in e.spec.figures)]
        return sorted({str(e.path.parent / published.file) for published in shown if published})

    def spec_json(self, name: str) -> str:
        """The experiment as resolved here: points with their reasons, and what its table and figures show."""
        e = self.experiments[name]
        points = [(p.axes, [r.name() for r in p.runs], p.skipped) for p in e.points]
        keys = [key for key, metric in e.spec.metrics.items() if metric.computed_at]
        numbers = [experiment.computed(e, p, key) for key in keys for p in e.points]
        return json.dumps([e.spec.model_dump(), points, numbers], sort_keys=True)

    # ---- measures ------------------------------------------------------------------------------------

    def measure_json(self, name: str) -> str:
        """The configurations that an experiment measures, without their defaults."""
        told = [
            {f.name: v for f in dataclasses.fields(config) if (v := getattr(config, f.name)) != f.default}
            for config in self.experiments[name].configurations.values()
        ]
        return json.dumps(told, sort_keys=True)

    def measure_settings(self, name: str) -> str:
        return json.dumps(self.scale.measures[self.experiments[name].spec.measure], sort_keys=True)

    def measured_alone(self, name: str) -> bool:
        """Whether nothing may run beside the measuring of an experiment."""
        return measures.alone(self.experiments[name].spec.measure)

    def measure_code(self, name: str) -> str:
        """Fingerprint of the measure with what its configurations name."""
        e = self.experiments[name]
        named = sorted({module for config in e.configurations.values() for module in named_by(config)})
        return provenance.fingerprint("mtp.measure", (f"mtp.measures.{e.spec.measure}", *named))

    def figure_files(self, name: str) -> list[str]:
        e = self.experiments[name]
        return [f"{self.figures}/{name}.{figure.name}.{end}" for figure in e.spec.figures for end in ("svg", "png")]

    def comparison_files(self, name: str) -> list[str]:
        """Where an experiment's models are compared problem by problem, if it asks for that."""
        return [f"{self.results}/{name}.comparisons.csv"] if self.experiments[name].spec.comparisons else []

    def exhibit(self, name: str) -> list[str]:
        """Everything an experiment shows."""
        tables = [f"{self.results}/{name}.csv", f"{self.results}/{name}.html", *self.comparison_files(name)]
        return [*tables, *self.figure_files(name)]

    def all_eval_files(self) -> list[str]:
        return self._all(self.eval_files)

    def all_run_files(self) -> list[str]:
        return self._all(self.run_files)

    def all_published_files(self) -> list[str]:
        return self._all(self.published_files)

    def all_exhibits(self) -> list[str]:
        return self._all(self.exhibit)

    def all_specs_json(self) -> str:
        return json.dumps([self.spec_json(name) for name in self.experiments])

    def _all(self, files: Callable[[str], list[str]]) -> list[str]:
        """The files of all experiments, each once."""
        return list(dict.fromkeys(path for name in self.experiments for path in files(name)))

    def figure_code(self, name: str, figure: str) -> str:
        """Fingerprint of the code that draws one figure: each kind is a module of its own."""
        kinds = [f.kind for f in self.experiments[name].spec.figures if f.name == figure]
        return provenance.fingerprint("mtp.report.figures", tuple(f"mtp.report.kinds.{kind}" for kind in kinds))

    @staticmethod
    def templates() -> str:
        """Fingerprint of the pages' templates."""
        return provenance.files_digest("mtp/report/templates")

    @staticmethod
    def code(stage: str) -> str:
        """Fingerprint of a stage's code."""
        return provenance.fingerprint(stage)

    def plan(self, cores: int) -> str:
        """What will run and about how long."""
        return experiment.summary(self.experiments, self.scale, cores)
