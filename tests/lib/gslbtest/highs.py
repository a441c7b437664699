"""HiGHS as an oracle, in a process of its own: it and ortools cannot be loaded together.

    python highs.py PROBLEM.npz …      # prints the optimum of each and the CPU seconds it took, as JSON

A file has the columns of a linear problem: ``cost`` of variables from 0 to ``upper``, rows from ``low`` to ``high``,
and their matrix by variables as ``start``, ``index``, ``value``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from gslb.plan.problem import F64, I64


class Linear(NamedTuple):
    """The least Σ cost × x is asked for; the matrix is in ``rows``: pieces of (row, variable, value)."""

    cost: F64
    upper: F64
    rows: list[tuple[I64, I64, F64]]
    low: F64
    high: F64


class Optimum(NamedTuple):
    """What HiGHS found: the least cost, and CPU seconds of its building and solving."""

    objective: float
    cpu_s: float


def optima(problems: Sequence[Linear], folder: Path, limit_s: float | None = None) -> list[Optimum]:
    """Solve them one after the other in one process, which may take ``limit_s``; files are left in ``folder``.

    Raises ``subprocess.TimeoutExpired`` where it takes longer.
    """
    paths = [folder / f"problem-{at}.npz" for at in range(len(problems))]
    for path, problem in zip(paths, problems, strict=True):
        row, column, value = (np.concatenate(part) for part in zip(*problem.rows, strict=True))
        order = np.lexsort((row, column))
        start = np.searchsorted(column[order], np.arange(len(problem.cost) + 1))
        columns = {name: getattr(problem, name) for name in ("cost", "upper", "low", "high")}
        np.savez(path, start=start, index=row[order], value=value[order], **columns)
    command = [sys.executable, str(Path(__file__)), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=limit_s)
    return [Optimum(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]


def main(path: str) -> None:
    """Solve one file with HiGHS as it comes."""
    import highspy

    with np.load(path) as file:
        problem = {name: file[name] for name in file.files}
    begun = time.process_time()
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(problem["cost"]), len(problem["low"])
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = problem["cost"], np.zeros(lp.num_col_), problem["upper"]
    lp.row_lower_, lp.row_upper_ = problem["low"], problem["high"]
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = problem["start"].astype(np.int32)
    lp.a_matrix_.index_ = problem["index"].astype(np.int32)
    lp.a_matrix_.value_ = problem["value"]
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.passModel(lp)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        sys.exit(f"HiGHS: {solver.modelStatusToString(solver.getModelStatus())}")
    cpu_s = time.process_time() - begun
    print(json.dumps({"objective": solver.getInfo().objective_function_value, "cpu_s": cpu_s}))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        main(name)
