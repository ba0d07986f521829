"""What this machine lacks for some experiments to make sense. No torch here: Snakemake asks while it plans."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Names of the instructions in /proc/cpuinfo, on x86 and on ARM."""


@functools.cache
def _flags(path: Path) -> frozenset[str]:
    try:
        lines = path.read_text().splitlines()
    except OSError:  # not Linux
        return frozenset()
    return frozenset(word for line in lines if line.lower().startswith(("flags", "features")) for word in line.split())


def lacks_bfloat16() -> str:
    """Empty, or why bfloat16 is of no use on this CPU."""
    if _flags(CPUINFO) & BFLOAT16_FLAGS:
        return ""
    return "this CPU has no bfloat16 instructions; emulating them takes about ten times as long"


NEEDS: Mapping[str, Callable[[], str]] = {"bfloat16 instructions": lacks_bfloat16}
"""What `needs` of an arm can name."""
