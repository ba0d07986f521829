"""What configurations say of themselves: sizes, budgets, costs by `mtp.floors.ARITHMETIC`. Nothing is run.

For exhibits that show settings (Tables S13 and S14). The same numbers at another scale are `computed_at` of a metric.
"""

from typing import Any

from mtp import floors
from mtp.config import RunConfig
from mtp.measures._common import number
from mtp.settings import checked

VERSION = 1


def run(configs: list[RunConfig], settings: dict[str, Any]) -> dict[str, Any]:
    """All arithmetic on every configuration; exact, so that claims can use it. No settings.

    Raises:
        UserError: settings.
    """
    settings = checked(settings, {}, {})
    runs: dict[str, dict[str, Any]] = {}
    for config in configs:
        values = {name: function(config) for name, function in floors.ARITHMETIC.items()}
        runs[config.name()] = {"metrics": [number(name, value, value, value) for name, value in values.items()]}
    return {"status": "measured", "reason": "", "settings": settings, "runs": runs}
