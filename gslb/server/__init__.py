"""The composition root: a control process that reads, builds and swaps, and workers that answer."""
