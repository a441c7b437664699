"""From what the file says to what is run."""

from __future__ import annotations

import functools

from gslb.agent.config import Probe, Target
from gslb.agent.probes import Check, flv, hls, http, rtmp, tcp


def made(probe: Probe, target: Target) -> Check:
    """What runs ``probe`` once against one of its targets; a playlist's is to be kept, for it remembers."""
    url, family = probe.place.url, target.family
    match probe.kind:
        case "http":
            return functools.partial(
                http.check,
                url,
                status=probe.status,
                body=probe.body,
                family=family,
                host=probe.host,
                verify=probe.verify,
            )
        case "flv":
            return functools.partial(flv.check, url, family=family, host=probe.host, verify=probe.verify)
        case "hls":
            return hls.Check(url, probe.max_age_s, family=family, host=probe.host, verify=probe.verify)
        case "rtmp":
            return functools.partial(rtmp.check, probe.place.host, probe.place.port, family=family)
        case _:
            return functools.partial(tcp.check, probe.place.host, probe.place.port, family=family)
