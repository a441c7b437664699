"""The query log on disk: a process of its own takes what workers leave in their rings, and writes it down."""
