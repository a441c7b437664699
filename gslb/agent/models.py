"""What may stand in the agent's file, key by key, over the tree of `gslb.zone.nodes`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gslb.agent.fields import Command, HostPort, RtmpPlace, Url, Words, spans
from gslb.zone import fields, scalars
from gslb.zone.fields import Boolean, Identifier, OrEmpty, OrNone, Rate, ShortForm, Word
from gslb.zone.models import Model


class ProbeModel(Model):
    """One probe: a kind, whose key says what is probed, and how."""

    http: Url = Field(default=None, description="a URL that answers with the status and the body that are expected")
    flv: Url = Field(default=None, description="a URL of HTTP-FLV: its header and its first tag arrive")
    hls: Url = Field(default=None, description="a URL of an HLS playlist that goes on")
    rtmp: RtmpPlace = Field(default=None, description="HOST[:PORT] that shakes hands as RTMP does; default port: 1935")
    tcp: HostPort = Field(default=None, description="HOST:PORT that accepts connections")
    family: Annotated[str | None, fields.one_of("4", "6", "both")] = Field(
        default=None,
        description="whose health it decides; default: the address's, and the other's where nothing else does",
    )
    interval: Annotated[float, spans(0.1, 3600)] = Field(default=1.0, description="from one to the next; default: 1s")
    timeout: Annotated[float, spans(0.05, 60)] = Field(default=2.0, description="later is failed; default: 2s")
    rise: Annotated[int, fields.whole(1, 100)] = Field(default=2, description="successes in a row to be up; default: 2")
    fall: Annotated[int, fields.whole(1, 100)] = Field(
        default=3, description="failures in a row to be down; default: 3"
    )
    status: Annotated[tuple[int, ...], fields.Several(fields.whole(100, 599))] = Field(
        default=(), description="http: the status, or a list; default: 200 to 299"
    )
    body: Word | None = Field(default=None, description="http: what the body contains")
    max_age: Annotated[float, spans(0.5, 3600)] = Field(
        default=15.0, description="hls: how long it may stand still; default: 15s"
    )
    host: Word | None = Field(default=None, description="http, flv, hls: the name to ask for; default: the URL's")
    verify: Boolean = Field(
        default=True, description="http, flv, hls: whether the certificate is checked; default: yes"
    )


class SourceModel(Model):
    """Where a number comes from: a Prometheus endpoint or a command."""

    prometheus: Url = Field(default=None, description="URL of metrics in the Prometheus text format")
    metric: Word | None = Field(default=None, description="prometheus: the metric's name; what matches is added up")
    labels: Annotated[dict[Word, Word], OrEmpty] = Field(default={}, description="prometheus: labels it must have")
    scale: Annotated[float, fields.number(0.000001, 10**9)] = Field(
        default=1.0, description="prometheus: the value is multiplied by it: 8 makes bits of bytes; default: 1"
    )
    command: Command = Field(default=(), description="a program and its arguments, run without a shell")
    interval: Annotated[float, spans(0.1, 3600)] = Field(default=1.0, description="from one to the next; default: 1s")
    timeout: Annotated[float, spans(0.05, 60)] = Field(default=2.0, description="later is failed; default: 2s")


class LoadModel(SourceModel):
    """Where the load comes from."""

    interface: Words = Field(default=(), description="network interfaces whose counters are read and added up")
    direction: Annotated[str, fields.one_of("tx", "rx")] = Field(
        default="tx", description="interface: sent or received; default: tx"
    )
    kind: Annotated[str | None, fields.one_of("gauge", "counter")] = Field(
        default=None, description="prometheus: default: counter where the metric's name ends in _total, else gauge"
    )
    over: Annotated[float, spans(0.5, 60)] = Field(
        default=3.0, description="interface, counters: the time over which a rate is measured; default: 3s"
    )


class AgentModel(Model):
    """The agent's file."""

    edge: Identifier | None = Field(default=None, description="the edge, as zones/edges.yaml names it")
    store: Word | None = Field(
        default=None, description="URL of the store, or http://ADDR:PORT of a server's admin port"
    )
    token_file: Word | None = Field(default=None, description="holds the report token of an admin port")
    interval: Annotated[float, spans(0.1, 60)] = Field(default=1.0, description="from push to push; default: 1s")
    timeout: Annotated[float, spans(0.05, 60)] = Field(default=2.0, description="a push is given up then; default: 2s")
    valid_for: Annotated[float | None, spans(0.5, 86400)] = Field(
        default=None, description="how long a report is vouched for; default: stale_s + hold_s of zones/edges.yaml"
    )
    last_word: Annotated[str, fields.one_of("none", "down")] = Field(
        default="none", description="what is pushed at the end; default: none"
    )
    capacity: Rate | None = Field(
        default=None, description="what the edge can carry; default: as zones/edges.yaml says"
    )
    load: LoadModel | None = Field(default=None, description="where the load is read")
    sessions: SourceModel | None = Field(default=None, description="where the number of viewers is read")
    probes: Annotated[tuple[ProbeModel, ...], ShortForm(scalars.listed, ()), OrNone] = Field(
        default=(), description="what decides whether the edge is up"
    )
