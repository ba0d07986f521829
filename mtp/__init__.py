"""Multi-token prediction: trunk, heads, loss, data, training, decoding, evaluation and reports."""

__version__ = "0.1.0"
