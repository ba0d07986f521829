rule measure:
    """Steps of an experiment's configurations, timed or weighed side by side.

    Nothing else runs beside a measure of time: it takes all cores, but one thread (Snakemake would set as many as
    cores). Measures come first, when the cores are free anyway: later they would have to wait until all are idle.
    """
    output:
        f"{RESULTS}/measurements/{{experiment}}.json",
    log:
        f"{RESULTS}/logs/measure/{{experiment}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure/{{experiment}}.tsv"
    priority: 3000
    conda:
        "../../environment.yml"
    threads: lambda w: cores() if SUITE.measured_alone(w.experiment) else 1
    resources:
        gpu=1 if SUITE.scale.gpus_per_run else 0,
        gpu_share=100,
    params:
        name=lambda w: SUITE.experiments[w.experiment].spec.measure,
        configs=lambda w: SUITE.measure_json(w.experiment),
        settings=lambda w: SUITE.measure_settings(w.experiment),
        code=lambda w: SUITE.measure_code(w.experiment),
    message:
        "measure {wildcards.experiment}: {params.name} (follow: tail -f {log})"
    shell:
        "OMP_NUM_THREADS=1 python -m mtp.measure --name {params.name} --experiment {wildcards.experiment}"
        " --configs {params.configs:q} --settings {params.settings:q} --code {params.code} --out {output:q}"
        " > {log:q} 2>&1"
