# The experiments at the current scale. All logic is in mtp/dag.py, which has tests.
import os
import sys

from snakemake.exceptions import WorkflowError

sys.path.insert(0, workflow.basedir)

from mtp.dag import Dag
from mtp.errors import UserError

try:
    DAG = Dag(config)
except UserError as error:
    raise WorkflowError(str(error)) from None

RESULTS, FIGURES = DAG.results, DAG.figures


wildcard_constraints:
    run="|".join(DAG.runs) or "none",
    eval="|".join(DAG.scale.evals),
    experiment="|".join(DAG.experiments),
    corpus="[A-Za-z0-9_]+",
    vocab_size="[0-9]+",


def plan():
    """What will run and about how long, for the first lines of the output."""
    return DAG.plan(max(1, workflow.cores or 1))
