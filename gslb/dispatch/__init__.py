"""Demand in, published plan out: the process that decides, once a round, which edges serve which viewers."""
