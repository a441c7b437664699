import pytest
from gslbtest import network
from gslbtest.world import World, world


@pytest.fixture(scope="session")
def net() -> World:
    """The engine's network, nothing reported yet."""
    return world(network.ZONES, network.TABLES)
