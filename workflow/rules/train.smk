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
    priority: 100
    conda:
        "../../environment.yml"
    threads: max(1, SUITE.scale.gpus_per_run)
    resources:
        gpu=SUITE.scale.gpus_per_run,
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
        "{params.train} --config {params.config:q} --code {params.code} --data {params.data:q}"
        " --out {params.out:q} {params.start} --checkpoint-seconds {params.checkpoint_seconds} > {log:q} 2>&1"
