"""What the control process refuses when it is asked: an HTTP code and the reasons, for the admin port to pass on."""

from __future__ import annotations

from gslb.errors import GslbError


class Refused(GslbError):
    """A request that is not done. ``code`` is an HTTP code; ``more`` stands beside ``detail`` in the reply's JSON."""

    def __init__(self, code: int, detail: str, **more: object) -> None:
        super().__init__(detail)
        self.code = code
        self.more = more

    @property
    def body(self) -> dict[str, object]:
        """The reply."""
        return {"detail": str(self), **self.more}


def told_faults(faults: tuple[tuple[str, str], ...] | list[tuple[str, str]]) -> list[dict[str, str]]:
    """Pairs of key and reason, as JSON replies have them."""
    return [{"key": key, "reason": reason} for key, reason in faults]
