"""Amounts as people write them. No torch here."""


def amount(x: float) -> str:
    """12300000 -> "12.3M"."""
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if x >= unit * 0.9995:
            return f"{x / unit:.3g}{name}"
    return f"{x:.3g}"
