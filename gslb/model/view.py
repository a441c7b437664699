"""What is known of a client, one at a time (`View`) and as columns (`ViewTable`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

U32 = npt.NDArray[np.uint32]
F64 = npt.NDArray[np.float64]


class View(NamedTuple):
    """What is known of a client; empty text, 0 and None mean unknown. ``isp`` is a name of isps.yaml or ``AS<n>``."""

    country: str = ""
    region: str = ""
    isp: str = ""
    asn: int = 0
    continent: str = ""
    lat: float | None = None
    lon: float | None = None

    @property
    def key(self) -> str:
        """``country|region|isp``, the key of demand and of plans."""
        return f"{self.country}|{self.region}|{self.isp}"


UNKNOWN = View()


@dataclass(frozen=True, slots=True)
class ViewTable:
    """Distinct views as columns of equal length; row 0 is always the unknown view.

    ``country``, ``region``, ``isp`` and ``continent`` index ``strings`` (``strings[0]`` is the empty text). ``region``
    means something only together with ``country``. ``lat`` and ``lon`` are degrees, NaN when unknown.
    """

    strings: tuple[str, ...]
    country: U32
    region: U32
    isp: U32
    continent: U32
    asn: U32
    lat: F64
    lon: F64

    def __len__(self) -> int:
        return len(self.country)

    def view(self, index: int) -> View:
        """Row ``index`` as a `View`."""
        lat, lon = float(self.lat[index]), float(self.lon[index])
        return View(
            country=self.strings[int(self.country[index])],
            region=self.strings[int(self.region[index])],
            isp=self.strings[int(self.isp[index])],
            asn=int(self.asn[index]),
            continent=self.strings[int(self.continent[index])],
            lat=None if np.isnan(lat) else lat,
            lon=None if np.isnan(lon) else lon,
        )

    def take(self, rows: npt.NDArray[np.intp]) -> ViewTable:
        """The table of some rows, in the order given."""
        return ViewTable(
            strings=self.strings,
            country=self.country[rows],
            region=self.region[rows],
            isp=self.isp[rows],
            continent=self.continent[rows],
            asn=self.asn[rows],
            lat=self.lat[rows],
            lon=self.lon[rows],
        )

    @classmethod
    def of(cls, views: list[View]) -> ViewTable:
        """The table whose row 0 is unknown and whose further rows are ``views``, in order, each as given."""
        rows = [UNKNOWN, *views]
        strings: dict[str, int] = {"": 0}

        def column(texts: list[str]) -> U32:
            return np.array([strings.setdefault(text, len(strings)) for text in texts], dtype=np.uint32)

        country = column([row.country for row in rows])
        region = column([row.region for row in rows])
        isp = column([row.isp for row in rows])
        continent = column([row.continent for row in rows])
        return cls(
            strings=tuple(strings),
            country=country,
            region=region,
            isp=isp,
            continent=continent,
            asn=np.array([row.asn for row in rows], dtype=np.uint32),
            lat=np.array([np.nan if row.lat is None else row.lat for row in rows], dtype=np.float64),
            lon=np.array([np.nan if row.lon is None else row.lon for row in rows], dtype=np.float64),
        )
