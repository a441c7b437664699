"""The daemon beside an edge: it probes the edge, reads its load, and pushes reports to a store."""
