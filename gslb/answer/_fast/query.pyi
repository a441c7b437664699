# The docstrings are in the .pyx.

def parsed(
    packet: bytes,
) -> (
    tuple[int, int, int, bytes, bool, bool]
    | tuple[int, int, bytes, int, int, bytes, bool, int, bool, bytes, bool, bytes]
    | str
    | None
): ...
