"""Verbs that work on files alone: ``check``, ``diff``, ``locate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gslb.errors import ConfigError, GslbError

if TYPE_CHECKING:  # imported by the verb that needs it
    from collections.abc import Sequence
    from ipaddress import IPv4Network, IPv6Network

    from gslb.model.demand import Demand
    from gslb.snapshot.catalog import Catalog

Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The data; default: the folder data beside the zones")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON")]


def check(
    zones: Annotated[Path, typer.Argument(metavar="DIR", help="The zones, or a folder of zones/ and data/")] = Path(
        "zones"
    ),
    data: Data = None,
    as_json: AsJson = False,
    write_schema: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the JSON Schemas of the YAML files here, and do no more")
    ] = None,
) -> None:
    """Find all faults of all files: path:line:column: message, sorted. Exit 1 where there are errors."""
    from gslb.cli import FAILURE

    if write_schema is not None:
        from gslb.zone.schema import schemas

        write_schema.mkdir(parents=True, exist_ok=True)
        for name, text in schemas().items():
            (write_schema / name).write_text(text, "utf-8")
            print(write_schema / name)
        return
    from gslb.server.build import read

    reading = read(*folders(zones, data))
    reading.build()
    errors, warnings = reading.errors, reading.warnings
    if as_json:
        import msgspec

        print(msgspec.json.encode({"errors": _told(errors), "warnings": _told(warnings)}).decode())
    else:
        lines = [(each.place(), str(each)) for each in errors]
        lines += [(each.place(), f"{each.path}:{each.line}:{each.column}: warning: {each.reason}") for each in warnings]
        for _, line in sorted(lines):
            print(line)
    if errors:
        raise typer.Exit(FAILURE)


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A catalog file, zones, or a folder of zones/ and data/")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="What it becomes")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="For a side with no data beside its zones; default: the other side's"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what an edit does: records, and which clients move from which edge to which."""
    from gslb.cli import FAILURE
    from gslb.snapshot.diff import diff as compare

    beside = [folders(path)[1] for path in (old, new) if path.is_dir()]
    spare = data or next((folder for folder in beside if folder.is_dir()), None)
    sides = [_catalog(path, spare) for path in (old, new)]
    if errors := dict.fromkeys(str(error) for _, _, found in sides for error in found):
        print("\n".join(errors))
        raise typer.Exit(FAILURE)
    (before, _, _), (after, demand, _) = sides
    assert before is not None
    assert after is not None
    found = compare(before, after, demand)
    if as_json:
        import msgspec

        print(msgspec.json.encode(found).decode())
    else:
        for line in found.lines():
            print(line)


def prefix_of(client: str) -> IPv4Network | IPv6Network:
    """A client as people write it, an address or a prefix. Raises `GslbError`."""
    import ipaddress

    try:
        return ipaddress.ip_network(client, strict=False)
    except ValueError:
        raise GslbError(f"{client!r} is neither an address nor a prefix") from None


def locate(
    client: Annotated[str, typer.Argument(metavar="ADDRESS|PREFIX", help="The client")],
    zones: Annotated[Path, typer.Option(metavar="DIR", help="The zones")] = Path("zones"),
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show what each layer says of a client, and all of them together."""
    from gslb.cli import FAILURE
    from gslb.cli.show import located, located_lines
    from gslb.geo.view import locate as find
    from gslb.server.build import read

    network = prefix_of(client)
    reading = read(*folders(zones, data))
    found = find(reading.files.layers, network.network_address.packed, network.prefixlen)
    if as_json:
        import msgspec

        print(msgspec.json.encode(located(found)).decode())
    else:
        print("\n".join(located_lines(found)))
    for error in reading.errors:
        print(error, file=sys.stderr)
    if reading.errors:
        raise typer.Exit(FAILURE)


def folders(path: Path, data: Path | None = None) -> tuple[Path, Path]:
    """The zones and the data that a path means: the zones themselves, or a folder that holds both."""
    zones = path / "zones" if (path / "zones").is_dir() else path
    return zones, data if data is not None else zones.parent / "data"


def _catalog(path: Path, spare: Path | None) -> tuple[Catalog | None, Sequence[Demand], list[ConfigError]]:
    """A catalog, from its file or built of the files of a folder; the demand beside it; what is wrong.

    ``spare`` is the data of a folder that has none beside its zones: an edit of the zones is compared on equal facts.
    """
    from gslb.server.build import read
    from gslb.snapshot.catalog import Catalog
    from gslb.snapshot.compile import in_memory
    from gslb.store import files

    if path.is_file():
        return Catalog(files.read_catalog(path), verify=False), (), []
    if not path.is_dir():
        raise GslbError(f"{path}: neither a catalog file nor a folder")
    zones, beside = folders(path)
    reading = read(zones, beside if beside.is_dir() else spare or beside)
    draft = reading.build()
    return Catalog(in_memory(draft.arrays())) if draft else None, reading.files.demand, reading.errors


def _told(faults: list[ConfigError]) -> list[dict[str, object]]:
    return [{"path": each.path, "line": each.line, "column": each.column, "message": each.reason} for each in faults]
