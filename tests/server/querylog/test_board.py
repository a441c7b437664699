"""The board: every record gets a number once, whenever the process dies; what finds no room is counted."""

from __future__ import annotations

import contextlib
import os

import numpy as np
import pytest
from gslbtest.logged import ring_records

from gslb.server.querylog import board
from gslb.server.querylog.board import Board

ROOM = 5


def new(rings: int = 2) -> tuple[Board, Board]:
    """A board as two processes have it."""
    fd = board.create(rings, ROOM)
    found = Board(fd, rings), Board(fd, rings)
    os.close(fd)
    return found


def marked(*marks: int) -> np.ndarray:
    return ring_records([{"qname": mark} for mark in marks])


def held(found: Board, buffer: int) -> list[tuple[int, int]]:
    """Number and mark of what a buffer has."""
    return [(int(row["number"]), int(row["qname"])) for row in found.records(buffer)]


def test_a_new_board_is_empty() -> None:
    found, _ = new()
    assert [found[cell] for cell in board.CELLS] == [0] * len(board.CELLS)
    assert (found.positions, found.room, found.lost) == ([0, 0], ROOM, 0)
    assert (held(found, 0), held(found, 1)) == ([], [])


ROWS = [
    # what is read from ring 0: marks, and how many were lost before; then both buffers, numbers and marks; disk's loss
    ([((1, 2), 0)], [(1, 1), (2, 2)], [], 0),
    ([((1,), 0), ((), 3), ((2,), 2)], [(1, 1), (7, 2)], [], 0),
    ([((1, 2, 3, 4, 5), 0)], [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)], [], 0),
    ([((1, 2, 3, 4, 5, 6), 0)], [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)], [(6, 6)], 0),
    ([(tuple(range(1, 13)), 0)], [(n, n) for n in range(1, 6)], [(n, n) for n in range(6, 11)], 2),
    ([(tuple(range(1, 13)), 1), ((13,), 1)], [(n + 1, n) for n in range(1, 6)], [(n + 1, n) for n in range(6, 11)], 3),
]


@pytest.mark.parametrize(("reads", "first", "second", "disk"), ROWS)
def test_numbers(reads: list[tuple[tuple[int, ...], int]], first: list, second: list, disk: int) -> None:
    ours, theirs = new()
    position = 0
    for marks, lost in reads:
        position += len(marks) + lost
        with ours.change() as change:
            change.read(0, position, marked(*marks), lost)
    for each in (ours, theirs):
        assert (held(each, 0), held(each, 1)) == (first, second)
        assert each.positions == [position, 0]
        assert each["given"] == position
        assert (each["lost_ring"], each["lost_disk"]) == (sum(lost for _, lost in reads), disk)
        assert each["given"] == each.lost + each.held(0) + each.held(1)


def test_a_change_that_is_broken_off_never_was() -> None:
    ours, theirs = new()
    with ours.change() as change:
        change.read(0, 2, marked(1, 2), 0)
    with contextlib.suppress(KeyboardInterrupt), ours.change() as change:
        change.read(0, 4, marked(3, 4), 0)
        change.read(1, 9, marked(5), 8)
        change.seal()
        raise KeyboardInterrupt
    assert (theirs["given"], theirs.positions, held(theirs, 0), theirs["active"]) == (2, [2, 0], [(1, 1), (2, 2)], 0)
    with theirs.change() as change:  # a successor reads the same again
        change.read(0, 4, marked(3, 4), 0)
    assert held(ours, 0) == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_buffers_take_turns() -> None:
    found, _ = new()
    for turn in range(4):
        with found.change() as change:
            change.read(0, turn + 1, marked(turn), 0)
            change["attempts"] = 2
            assert change.seal()
        assert (found["active"], found["attempts"]) == (1 - turn % 2, 0)
        assert held(found, turn % 2) == [(turn + 1, turn)]
        with found.change() as change:
            change.read(0, turn + 1, marked(), 0)
            assert not change.seal()  # what waits is not written yet
            change[f"held{turn % 2}"] = 0
