# Every table and figure at one scale:
#
#   snakemake                                                   the default scale (profiles/default names it)
#   snakemake --configfile experiments/scales/smoke.yaml        another scale
#   snakemake table1                                            one exhibit and the runs it needs
#   snakemake --list                                            all targets
from snakemake.utils import min_version

min_version("9.19")


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/benchmarks.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/report.smk"


report: "workflow/report/workflow.rst"


rule all:
    """Every table and figure at the current scale, and the gallery."""
    default_target: True
    input:
        f"{FIGURES}/index.html",
    localrule: True


onstart:
    print(plan(), file=sys.stderr, flush=True)
    # Snakemake 9.27 looks at its job rate limit again a second after every look, for each finished job anew: after
    # 200 jobs that is 200 looks a second, a CPU minute of each five. Nothing here needs the limit.
    workflow.scheduler.job_rate_limiter = None
