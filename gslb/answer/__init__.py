"""Bytes in, bytes out: the reference engine, the explanation of what it did, and the chooser of the compiled path."""
