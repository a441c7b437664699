"""``gslb dispatch solve``: the bare problem, of anyone's own instance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gslb.cli.files import AsJson


def solve(
    groups: Annotated[Path, typer.Option(metavar="FILE", help="CSV of group,demand_bps")],
    arcs: Annotated[Path, typer.Option(metavar="FILE", help="CSV of group,edge,cost; cost per Mbps")],
    edges: Annotated[Path, typer.Option(metavar="FILE", help="CSV of edge,capacity_bps[,pop,pop_capacity_bps]")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Write group,edge,bps here, without zeros")],
    knee: Annotated[float, typer.Option(min=0, max=1, help="Part of a capacity above which --beta is paid")] = 1.0,
    beta: Annotated[float, typer.Option(min=0, max=1e5, help="Cost of a Mbps above the knee")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Spread demand over edges at the least cost, under the capacities of edges and PoPs. Needs gslb\\[dispatch].

    Capacities are hard; what does not fit goes above at 100,000 per Mbps. Each group's flows sum to its demand.

    No flow has a smaller total than dual_bound.
    """
    import json
    import time

    from gslb.dispatch.solver import check_installed
    from gslb.errors import GslbError

    check_installed()
    from gslb.dispatch import solving
    from gslb.plan.bare import bare_rules
    from gslb.store.atomic import write_atomic

    begun = time.process_time()
    paths = {"groups": groups, "arcs": arcs, "edges": edges}
    try:
        texts = {name: (str(path), path.read_bytes()) for name, path in paths.items()}
    except OSError as error:
        raise GslbError(f"{error.filename}: {error.strerror}") from None
    rules = bare_rules(knee=knee, beta=beta)
    instance = solving.read_instance(texts)
    read_s = time.process_time() - begun
    found = solving.solve(instance, rules, time.process_time)
    try:
        text = solving.flows_text(instance, found).encode()
        if out.is_symlink() or (out.exists() and not out.is_file()):  # a pipe or a device stays what it is
            out.write_bytes(text)
        else:
            write_atomic(out, [text])
    except OSError as error:
        raise GslbError(f"{out}: {error.strerror}") from None
    told = solving.summary(found, rules) | {"read_s": read_s}
    if as_json:
        print(json.dumps(told))
    else:
        for name, value in told.items():
            print(f"{name:<14}{value:>20,.6f}" if isinstance(value, float) else f"{name:<14}{value:>20,}")
