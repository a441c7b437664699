import os

import pytest
from gslbtest import network
from gslbtest.world import World, world

from gslb.answer import fast

PATHS = ("reference", "compiled") if fast.wanted(os.environ) else ("reference",)

# What is only about the compiled path, and would have nothing to ask without it.
collect_ignore = [] if fast.wanted(os.environ) else ["test_law.py", "test_compiled_draw.py"]


@pytest.fixture(scope="session", params=PATHS)
def net(request: pytest.FixtureRequest) -> World:
    """The engine's network, nothing reported yet; on the compiled path whatever is asked is asked of both."""
    made = world(network.ZONES, network.TABLES)
    if request.param == "compiled":
        assert made.compiled is not None
        return made
    return made.on_reference()
