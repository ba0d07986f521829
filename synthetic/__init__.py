"""Synthetic tasks: pure functions of (configuration, seed, index), numpy only, one file each."""
