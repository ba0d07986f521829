"""Benchmarks against other projects; docs/benchmarks.md explains their rows.

Training: `python -m mtp.bench.train --help`. Sampling: `python -m mtp.bench.sample --help`. Decoding of single rows and
rounds of speculation: `python -m mtp.bench.decode --help`.
"""
