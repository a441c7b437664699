"""Where viewers of a key are: the middle of the places that the geographic tables know for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gslb.model.view import View, ViewTable
from gslb.plan.problem import F64

EARTH_KM: Final = 6371.0

_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Unit vectors (x, y, z) from the middle of the Earth by country, region and ISP; by country and region, and by
    country alone, with the others empty."""

    middles: Mapping[_Key, tuple[float, float, float]]
    continents: Mapping[str, str]

    @classmethod
    def of(cls, views: ViewTable) -> Whereabouts:
        """Of all views with coordinates, each distinct one counted once."""
        known = ~(np.isnan(views.lat) | np.isnan(views.lon)) & (views.country > 0)
        points = vectors(views.lat, views.lon)
        middles: dict[_Key, tuple[float, float, float]] = {}
        texts = np.array(views.strings, dtype=np.object_)
        for columns in ((views.country,), (views.country, views.region), (views.country, views.region, views.isp)):
            keys = np.stack([column[known] for column in columns], axis=1)
            if not len(keys):
                break
            distinct, of = np.unique(keys, axis=0, return_inverse=True)
            of = of.reshape(-1)
            sums = np.stack([np.bincount(of, points[known, axis], len(distinct)) for axis in range(3)], axis=1)
            length = np.linalg.norm(sums, axis=1)
            for key, total, size in zip(distinct.tolist(), sums.tolist(), length.tolist(), strict=True):
                if size > 1e-9:
                    country, region, isp = [*texts[key].tolist(), "", ""][:3]
                    middles.setdefault((country, region, isp), tuple(each / size for each in total))
        continents = dict(zip(texts[views.country].tolist(), texts[views.continent].tolist(), strict=True))
        return cls(middles, continents)

    def places(self, keys: Sequence[_Key]) -> F64:
        """The place of each key, (K, 3) unit vectors; NaN where nothing is known of its country."""
        found = np.full((len(keys), 3), np.nan)
        for at, (country, region, isp) in enumerate(keys):
            for key in ((country, region, isp), (country, region, ""), (country, "", "")):
                if (middle := self.middles.get(key)) is not None:
                    found[at] = middle
                    break
        return found

    def view(self, key: _Key, continent: str) -> View:
        """What is known of viewers of a key, without coordinates."""
        country, region, isp = key
        return View(country, region, isp, continent=continent or self.continents.get(country, ""))


def vectors(lat: F64, lon: F64) -> F64:
    """Degrees → unit vectors, (N, 3)."""
    phi, lam = np.radians(lat), np.radians(lon)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=1)


def km_between(one: F64, other: F64) -> F64:
    """Great circles between unit vectors (A, 3) and (B, 3): (A, B) kilometres, NaN where one is unknown."""
    return np.asarray(EARTH_KM * np.arccos(np.clip(one @ other.T, -1.0, 1.0)))
