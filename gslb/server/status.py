"""What a server says of itself, as `/v1/status` gives it and `gslb status` shows it. Times are seconds since 1970."""

from __future__ import annotations

import itertools

import msgspec


class Fault(msgspec.Struct, frozen=True):
    """One error or warning of the files, with its place; ``path`` is empty where no file is at fault."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.path else self.message

    @property
    def place(self) -> str:
        """Path, line and column."""
        return f"{self.path}:{self.line}:{self.column}" if self.path else ""


class Moved(msgspec.Struct, frozen=True):
    """How much of a service's known client space a change moves, and how much may move without a person's word."""

    service: str
    fraction: float
    max_change: float


class Built(msgspec.Struct, frozen=True):
    """What a build came to: a catalog's file, or errors. ``moved`` compares it with the base, service by service."""

    generation: str
    catalog: str = ""
    errors: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    moved: tuple[Moved, ...] = ()

    @property
    def held(self) -> tuple[Moved, ...]:
        """The services of which more would move than may."""
        return tuple(each for each in self.moved if each.fraction > each.max_change)


class Pending(msgspec.Struct, frozen=True):
    """A catalog that waits for ``gslb apply --force``; ``held`` are the services over their limit."""

    generation: str
    held: tuple[Moved, ...]


class ReloadStatus(msgspec.Struct):
    """The last reading of the files. ``state``: starting, ok, failed or pending.

    ``errors`` of an ok one say that what is served could not be remembered.
    """

    state: str = "starting"
    at_s: float = 0.0
    seconds: float = 0.0
    errors: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    pending: Pending | None = None
    counts: dict[str, int] = msgspec.field(
        default_factory=lambda: dict.fromkeys(("unchanged", "applied", "failed", "pending"), 0)
    )


class SteeringStatus(msgspec.Struct):
    """The steering snapshot in use."""

    builds: int = 0
    seconds: float = 0.0
    made_ms: int = 0
    reports: int = 0


class RefusedPlan(msgspec.Struct, frozen=True):
    """A plan in the store that may not count: ``reason`` is one of `snapshot.acceptance.REASONS`, ``text`` says more.
    ``version`` is empty where it is not known."""

    version: str
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.text}"


class Live(msgspec.Struct, frozen=True):
    """What the store gives, and how it is doing.

    ``connected`` tells whether it can be reached and ``age_s`` for how long it could not; ``now_ms`` is store time and
    ``clock_ms`` the store's clock; ``faults`` are its keys that cannot be read, with why. ``overrides`` counts those
    that act now; ``plan`` is the version in use, or empty. ``saved_s`` is when its state was last written to disk and
    ``not_saved`` why the latest attempt failed. ``plan_age_s`` is how long ago by this server's clock the newest plan
    that was accepted was issued, None without one; ``plan_faded`` the part of the plan in use that has passed into
    local policy; ``plan_refused`` are those that may not count, ``plan_refusals`` how many there were by reason.
    """

    connected: bool = False
    age_s: float = 0.0
    now_ms: int = 0
    clock_ms: int = 0
    faults: dict[str, str] = {}
    overrides: int = 0
    plan: str = ""
    saved_s: float = 0.0
    not_saved: str = ""
    plan_age_s: float | None = None
    plan_faded: float = 0.0
    plan_refused: tuple[RefusedPlan, ...] = ()
    plan_refusals: dict[str, int] = {}

    @property
    def plan_text(self) -> str:
        """The plan in use, whether it fades, and what is refused."""
        fading = f", fading: {self.plan_faded:.0%} local" if self.plan and self.plan_faded else ""
        refused = "".join(f"; refused {each.version}: {each}" for each in self.plan_refused)
        return f"{self.plan or 'none'}{fading}{refused}"


class WorkerStatus(msgspec.Struct, frozen=True):
    """One worker process; ``pid`` 0 while it is being replaced."""

    pid: int
    answering: bool
    restarts: int
    since_s: float


class Status(msgspec.Struct):
    """All of it. ``transports`` says of each address in ``listen`` which of UDP and TCP it has."""

    version: str
    server_id: str
    pid: int
    started_s: float
    ready: bool
    listen: tuple[str, ...]
    admin: str
    store: str
    generation: str = ""
    applied_s: float = 0.0
    zones: tuple[str, ...] = ()
    services: int = 0
    edges: int = 0
    reload: ReloadStatus = msgspec.field(default_factory=ReloadStatus)
    steering: SteeringStatus = msgspec.field(default_factory=SteeringStatus)
    live: Live = Live()
    workers: tuple[WorkerStatus, ...] = ()
    transports: tuple[tuple[str, ...], ...] = ()

    def listening(self, between: str) -> str:
        """Where it listens: each run of addresses with which of UDP and TCP they have, joined by ``between``."""
        had = self.transports or (("UDP", "TCP"),) * len(self.listen)
        runs = itertools.groupby(zip(self.listen, had, strict=True), key=lambda pair: pair[1])
        return " ".join(f"{' '.join(name for name, _ in run)} ({between.join(kinds)})" for kinds, run in runs)
