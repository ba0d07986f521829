"""How several processes that train one run are started. No torch here."""

from mtp.experiment.scale import Scale

ON_SEVERAL_NODES = (
    "srun --nodes={0} --ntasks={0} --cpu-bind=none --kill-on-bad-exit=1"
    " torchrun --nnodes={0} --rdzv_backend=c10d --rdzv_id=$SLURM_JOB_ID"
    " --rdzv_endpoint=$(hostname):$((20000 + SLURM_JOB_ID % 10000))"
)
"""Starts torchrun on each machine of a Slurm job, with all the cores that the job has there. They meet at the first,
where this is said, at a port of the job's own: two jobs may have the same first machine."""
SECONDS_TO_SAVE = 240
"""What torchrun grants its processes to save a checkpoint when it is told to end; its default is 30."""


def several(scale: Scale) -> str:
    """What trains a run with a process per GPU, on one machine or several (docs/distributed.md); empty for one."""
    gpus, nodes = scale.gpus_per_run, scale.nodes_per_run
    if gpus <= 1:
        return ""
    start = "torchrun --standalone" if nodes == 1 else ON_SEVERAL_NODES.format(nodes)
    start += f" --shutdown-timeout={SECONDS_TO_SAVE}"
    return f"{start} --nproc_per_node={gpus // nodes} -m mtp.train --parallel {scale.parallel}"
