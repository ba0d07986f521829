"""From packages, folders or a hub to memory-mapped tokens, and from there to batches. No torch."""
