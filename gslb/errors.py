"""The one family of errors: what went wrong, and where."""

from __future__ import annotations

from collections.abc import Iterable


class GslbError(Exception):
    """Anything this package refuses; its text is fit for a person to read."""


class ConfigError(GslbError):
    """One fault in a file that a person edits, with its place.

    ``line`` and ``column`` count from 1; 0 means that the file as a whole is meant. The text is
    ``path:line:column: reason``.
    """

    def __init__(self, path: str, line: int, column: int, reason: str) -> None:
        super().__init__(path, line, column, reason)
        self.path = path
        self.line = line
        self.column = column
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.reason}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConfigError) and self.place() == other.place()

    def __hash__(self) -> int:
        return hash(self.place())

    def place(self) -> tuple[str, int, int, str]:
        """The sort key under which faults are shown: by file, then by place, then by text."""
        return (self.path, self.line, self.column, self.reason)


class ConfigErrors(GslbError):
    """All the faults of one reading, sorted by place. ``errors`` is never empty."""

    def __init__(self, errors: Iterable[ConfigError]) -> None:
        self.errors = tuple(sorted(set(errors), key=ConfigError.place))
        super().__init__("\n".join(str(error) for error in self.errors))


class UsageError(GslbError):
    """A flag or a variable that cannot be used; the text names it."""


class FaultyError(GslbError):
    """Something handed over as keys and values that is refused. ``faults`` are pairs of key and reason, at least one;
    the key is empty where the whole is at fault. The text names ``what`` it is, and all of them."""

    def __init__(self, what: str, faults: Iterable[tuple[str, str]]) -> None:
        self.faults = tuple(faults)
        super().__init__(f"{what}: {self.told}")

    @property
    def told(self) -> str:
        """The faults alone, on one line."""
        return "; ".join(f"{key}: {reason}" if key else reason for key, reason in self.faults)


class Findings:
    """What a reading of files found: errors, which refuse them, and warnings, which do not."""

    __slots__ = ("errors", "warnings")

    def __init__(self) -> None:
        self.errors: list[ConfigError] = []
        self.warnings: list[ConfigError] = []

    def error(self, path: str, line: int, column: int, reason: str) -> None:
        """Note a fault that makes the files unusable."""
        self.errors.append(ConfigError(path, line, column, reason))

    def warn(self, path: str, line: int, column: int, reason: str) -> None:
        """Note something that an operator should know but that refuses nothing."""
        self.warnings.append(ConfigError(path, line, column, reason))

    def raise_if_any(self) -> None:
        """Raise `ConfigErrors` with every error so far, if there is one."""
        if self.errors:
            raise ConfigErrors(self.errors)
