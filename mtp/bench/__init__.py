"""Benchmarks against other trainers: `python -m mtp.bench.train --help`. Their rows: docs/benchmarks.md."""
