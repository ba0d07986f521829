rule table:
    """The numbers of one experiment beside the paper's: tidy CSV and readable HTML."""
    input:
        evals=lambda w: SUITE.eval_files(w.experiment),
        runs=lambda w: SUITE.run_files(w.experiment),
        published=lambda w: SUITE.published_files(w.experiment),
        comparisons=lambda w: SUITE.comparison_files(w.experiment),
    output:
        csv=report(
            f"{RESULTS}/{{experiment}}.csv",
            category="Numbers",
            labels={"experiment": "{experiment}"},
        ),
        html=f"{RESULTS}/{{experiment}}.html",
    log:
        f"{RESULTS}/logs/table/{{experiment}}.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        python=SUITE.python(),
        spec=lambda w: SUITE.spec_json(w.experiment),
        code=SUITE.code("mtp.report.tables"),
        templates=SUITE.templates(),
        scale=SUITE.scale.scale,
    message:
        "table of {wildcards.experiment}"
    shell:
        "{params.python} mtp.report.tables {wildcards.experiment} --scale {params.scale} > {log:q} 2>&1"


rule comparisons:
    """Models against each other on the same problems."""
    input:
        evals=lambda w: SUITE.eval_files(w.experiment),
    output:
        report(
            f"{RESULTS}/{{experiment}}.comparisons.csv",
            category="Comparisons",
            labels={"experiment": "{experiment}"},
        ),
    log:
        f"{RESULTS}/logs/comparisons/{{experiment}}.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        python=SUITE.python(),
        spec=lambda w: SUITE.spec_json(w.experiment),
        code=SUITE.code("mtp.report.comparisons"),
        scale=SUITE.scale.scale,
    message:
        "comparisons of {wildcards.experiment}"
    shell:
        "{params.python} mtp.report.comparisons {wildcards.experiment} --scale {params.scale} > {log:q} 2>&1"


rule figure:
    """One figure of one experiment."""
    input:
        evals=lambda w: SUITE.eval_files(w.experiment),
        runs=lambda w: SUITE.run_files(w.experiment),
        baselines=lambda w: SUITE.baseline_files(w.experiment),
        published=lambda w: SUITE.published_files(w.experiment),
    output:
        svg=report(
            f"{FIGURES}/{{experiment}}.{{figure}}.svg",
            category="Figures",
            labels={"experiment": "{experiment}", "figure": "{figure}"},
        ),
        png=f"{FIGURES}/{{experiment}}.{{figure}}.png",
    log:
        f"{RESULTS}/logs/figure/{{experiment}}.{{figure}}.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        python=SUITE.python(),
        spec=lambda w: SUITE.spec_json(w.experiment),
        code=lambda w: SUITE.figure_code(w.experiment, w.figure),
        scale=SUITE.scale.scale,
    message:
        "figure {wildcards.experiment}.{wildcards.figure}"
    shell:
        "{params.python} mtp.report.figures {wildcards.experiment} --figure {wildcards.figure}"
        " --scale {params.scale} > {log:q} 2>&1"


rule claims:
    """A verdict on every claim of every experiment."""
    input:
        evals=SUITE.all_eval_files(),
        runs=SUITE.all_run_files(),
        published=SUITE.all_published_files(),
    output:
        csv=report(f"{RESULTS}/claims.csv", category="Claims"),
        html=f"{RESULTS}/claims.html",
    log:
        f"{RESULTS}/logs/claims.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        python=SUITE.python(),
        specs=SUITE.all_specs_json(),
        code=SUITE.code("mtp.report.claims"),
        scale=SUITE.scale.scale,
    message:
        "verdicts on claims"
    shell:
        "{params.python} mtp.report.claims --scale {params.scale} > {log:q} 2>&1"


rule gallery:
    """The pages to read: an index, one page per exhibit, one per run."""
    input:
        exhibits=SUITE.all_exhibits(),
        runs=SUITE.all_run_files(),
        claims=f"{RESULTS}/claims.csv",
    output:
        index=f"{FIGURES}/index.html",
        exhibits=[f"{FIGURES}/{name}.html" for name in SUITE.experiments],
        drawn_with=[f"{FIGURES}/gallery.css", f"{FIGURES}/gallery.js"],
        runs=directory(f"{FIGURES}/runs"),
    log:
        f"{RESULTS}/logs/gallery.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        python=SUITE.python(),
        specs=SUITE.all_specs_json(),
        code=SUITE.code("mtp.report.gallery"),
        templates=SUITE.templates(),
        scale=SUITE.scale.scale,
    message:
        "gallery: {output.index}"
    shell:
        "{params.python} mtp.report.gallery --scale {params.scale} > {log:q} 2>&1"


# Every experiment is a target of its own name: `snakemake table1`.
for _name in SUITE.experiments:
    if workflow.is_rule(_name):
        raise WorkflowError(
            f"{SUITE.experiments[_name].path}: a rule is called {_name}; rename the file"
        )

    rule:
        name:
            _name
        input:
            SUITE.exhibit(_name),
        localrule: True
