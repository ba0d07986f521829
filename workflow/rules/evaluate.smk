rule evaluate:
    """One evaluation of one trained model."""
    input:
        record=f"{RESULTS}/runs/{{run}}/config.json",
        data=lambda w: SUITE.data_manifest(w.run),
        benchmark=lambda w: SUITE.benchmark_files(w.eval),
    output:
        f"{RESULTS}/runs/{{run}}/{{eval}}.json",
    log:
        f"{RESULTS}/logs/evaluate/{{run}}.{{eval}}.log",
    conda:
        "../../environment.yml"
    # Programs of samples run on the cores that a GPU leaves idle.
    threads: 8 if SUITE.scale.gpus_per_run else 1
    resources:
        gpu=1 if SUITE.scale.gpus_per_run else 0,
        gpu_share=lambda w: SUITE.gpu_share(w.run),
    params:
        python=SUITE.python(),
        settings=lambda w: SUITE.eval_settings(w.eval),
        code=lambda w: SUITE.eval_code(w.run, w.eval),
        run=lambda w, input: os.path.dirname(input.record),
        data=lambda w: SUITE.data_folder(w.run),
    message:
        "{wildcards.eval} of {wildcards.run}"
    shell:
        "{params.python} mtp.evaluate --run {params.run:q} --data {params.data:q} --eval {wildcards.eval}"
        " --settings {params.settings:q} --code {params.code} --workers {threads} --out {output:q} > {log:q} 2>&1"
