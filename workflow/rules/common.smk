# The experiments at the current scale. All logic is in mtp/dag.py, which has tests.
import os
import sys

from snakemake.exceptions import WorkflowError

sys.path.insert(0, workflow.basedir)

from mtp.dag import Suite
from mtp.errors import UserError

try:
    SUITE = Suite(config)
except UserError as error:
    raise WorkflowError(str(error)) from None

RESULTS, FIGURES = SUITE.results, SUITE.figures


wildcard_constraints:
    run="|".join(SUITE.runs) or "none",
    eval="|".join(SUITE.scale.evals),
    experiment="|".join(SUITE.experiments),
    corpus="[A-Za-z0-9_]+",
    vocab_size="[0-9]+",


def cores():
    """The cores that jobs share; 1 where a cluster runs them, which has no such number."""
    return workflow.resource_settings.cores or 1


def plan():
    """What will run and about how long, for the first lines of the output."""
    return SUITE.plan(cores())
