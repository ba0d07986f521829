rule train:
    """Train one model. A job that was cut short goes on from its (undeclared) checkpoint."""
    input:
        data=lambda w: SUITE.data_manifest(w.run),
        start=lambda w: SUITE.start_files(w.run),
    output:
        weights=f"{RESULTS}/runs/{{run}}/model.safetensors",
        metrics=f"{RESULTS}/runs/{{run}}/metrics.csv",
        validation=f"{RESULTS}/runs/{{run}}/validation.csv",
        record=f"{RESULTS}/runs/{{run}}/config.json",
    log:
        f"{RESULTS}/logs/train/{{run}}.log",
    wildcard_constraints:
        run="|".join(SUITE.trained) or "none",
    priority: 100
    conda:
        "../../environment.yml"
    threads: max(1, SUITE.scale.gpus_per_run // SUITE.scale.nodes_per_run)
    resources:
        **SUITE.nodes(),
        gpu=SUITE.scale.gpus_per_run,
        gpu_share=lambda w: SUITE.gpu_share(w.run),
    params:
        train=SUITE.train_command(),
        config=lambda w: SUITE.run_json(w.run),
        code=lambda w: SUITE.train_code(w.run),
        data=lambda w: SUITE.data_folder(w.run),
        start=lambda w: SUITE.start_option(w.run),
        out=lambda w, output: os.path.dirname(output.record),
        checkpoint_seconds=SUITE.scale.checkpoint_seconds,
    message:
        "train {wildcards.run} (follow: tail -f {log})"
    shell:
        # exec: a batch system ends all processes of a job when the first has ended. A shell that waited would be the first
        # to end at SIGTERM, and would take the process that saves its checkpoint with it.
        "exec {params.train} --config {params.config:q} --code {params.code} --data {params.data:q}"
        " --out {params.out:q} {params.start} --checkpoint-seconds {params.checkpoint_seconds} > {log:q} 2>&1"


rule import_checkpoint:
    """A run whose weights others have trained: their checkpoint is checked and converted (docs/checkpoints.md)."""
    input:
        lambda w: SUITE.checkpoint_files(w.run),
    output:
        weights=f"{RESULTS}/runs/{{run}}/model.safetensors",
        record=f"{RESULTS}/runs/{{run}}/config.json",
    log:
        f"{RESULTS}/logs/train/{{run}}.log",
    wildcard_constraints:
        run="|".join(SUITE.imported) or "none",
    priority: 100
    conda:
        "../../environment.yml"
    threads: 1
    params:
        config=lambda w: SUITE.run_json(w.run),
        code=SUITE.code("mtp.released"),
        folder=lambda w, input: os.path.dirname(input[0]),
        out=lambda w, output: os.path.dirname(output.record),
    message:
        "import {wildcards.run} (follow: tail -f {log})"
    shell:
        "python -m mtp.released --checkpoint {params.folder:q} --config {params.config:q} --code {params.code}"
        " --out {params.out:q} > {log:q} 2>&1"
