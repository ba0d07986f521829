"""Training and evaluating on a machine without network, Snakemake and pandas: see `python -m mtp.bundle --help`."""
