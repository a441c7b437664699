"""Which edge a client gets: affinity levels, headroom, spill and draw, as pure functions of arrays and integers."""
