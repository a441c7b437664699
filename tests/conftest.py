"""What every test may ask for, and the rule about skips: only for what cannot be on every machine."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from gslbtest.serving import Server, serving

ALLOWED_SKIPS = ("needs ../shared", "Python version absent")
"""How the reason of a skip must begin. Any other skip, and any expected failure, fails the run."""

FIRST = (
    "measure/test_runs.py", "interop/test_measuring.py", "project/test_docs.py", "project/test_packages.py",
    "interop/test_story.py", "server/test_reloading.py", "answer/test_law.py", "agent/test_process.py",
    "simulate/test_running.py", "interop/test_two_servers.py", "server/test_processes.py", "server/test_managed.py",
    "server/test_snapshots.py", "server/test_live_state.py", "interop/test_dispatching.py", "measure/test_retention.py",
    "store/test_redis_faults.py",
)  # fmt: skip
"""The files that take longest, longest first: what begins last should be short, so that all workers end together."""
COUNTED = (
    "agent/", "cli/test_app.py", "cli/test_dispatch.py", "cli/test_measure.py", "cli/test_watch.py", "dispatch/",
    "measure/", "querylog/", "server/test_admin.py", "server/test_live_state.py", "server/test_managed.py",
    "server/test_snapshots.py",
)  # fmt: skip
"""The tests whose processes count for coverage, as all tests do themselves: each kind of process is among them."""
UNCOUNTED = ("interop/", "project/")
"""The tests that do not count themselves either: what they run, others run too, and counting takes half as long again.
No test among them may be marked with ``no_cover``."""
COUNTING = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
"""By one of these coverage begins in a process that a test starts."""

_REFUSED = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def repo() -> Path:
    """The repository's top folder."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared(repo: Path) -> Path:
    """The folder of data that lies beside the repository; tests that need it are skipped, visibly, without it."""
    path = repo.parent / "shared"
    if not path.is_dir():
        pytest.skip("needs ../shared")
    return path


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One ``gslb serve`` over a copy of the shipped zones and data, for tests that only ask."""
    with serving(tmp_path_factory.mktemp("sample")) as server:
        yield server


@pytest.fixture
def gslb(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run the command with these arguments in this process; gives a `gslbtest.verbs.Done`."""
    from gslbtest.verbs import typed  # takes a while to load, and most tests type nothing

    return typed(capsys, monkeypatch)


@pytest.fixture(scope="module", autouse=True)
def _counting(request: pytest.FixtureRequest) -> Iterator[None]:
    """Without coverage the processes of most tests start and run in two thirds of the time."""
    file = f"{request.path.parent.name}/{request.path.name}"
    with contextlib.ExitStack() as stack:
        if not file.startswith(COUNTED):
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            for name in COUNTING:
                patch.delenv(name, raising=False)
        if file.startswith(UNCOUNTED):
            stack.enter_context(_uncounted())
        yield


@contextlib.contextmanager
def _uncounted() -> Iterator[None]:
    """Stop coverage, where it runs, and start it again afterwards."""
    from coverage import Coverage  # most files need it not

    counting = Coverage.current()
    if counting is not None:
        counting.stop()
    yield
    if counting is not None:
        counting.start()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is loaded and made until tests begin stays until they end: nobody need look for garbage in it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Of three tests that run one only waits."""
    return (os.cpu_count() or 1) * 3 // 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    places = {tests / name: at for at, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(FIRST)))


def pytest_configure(config: pytest.Config) -> None:
    # A shell that starts the suite in the background has it ignore SIGINT, and with it all that it starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Processes that are started by the hundred need not compile each time what they import.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    config.stash[_REFUSED] = []
    if not hasattr(config, "workerinput"):  # the reports of all workers come together in the main process
        config.pluginmanager.register(_SkipRule(config), "gslb-skip-rule")


class _SkipRule:
    """Collects skips that are not allowed and fails the run for them."""

    def __init__(self, config: pytest.Config) -> None:
        self.refused = config.stash[_REFUSED]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._look(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._look(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.refused and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self.refused:
            terminalreporter.write_line(f"SKIP NOT ALLOWED {line}", red=True)

    def _look(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped:
            return
        expected = getattr(report, "wasxfail", None)
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if expected is not None:
            self.refused.append(f"{report.nodeid}: an expected failure: {expected}")
        elif not reason.startswith(ALLOWED_SKIPS):
            self.refused.append(f"{report.nodeid}: {reason}")
