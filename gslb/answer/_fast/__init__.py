"""The compiled path: answers of `gslb.answer.engine`, byte for byte, from the snapshots' arrays, or a miss.

Packets are read through `cursor` alone. Numbers come from Python by `gslb.answer.declared`. The package imports where
it was never compiled; its modules then do not.
"""
