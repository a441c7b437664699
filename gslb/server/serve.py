"""``gslb serve``: the control process. It owns locks, sockets, files and state; the workers only answer."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import structlog
import uvloop

from gslb import __version__
from gslb.errors import ConfigErrors, GslbError
from gslb.server import frames, listen, statedir
from gslb.server.catalogs import Catalogs
from gslb.server.fleet import Fleet
from gslb.server.log import configure
from gslb.server.notify import Notifier, listen_fds
from gslb.server.reload import Reloader
from gslb.server.settings import Settings, read_secrets
from gslb.server.snapshots import Snapshots
from gslb.server.status import Status, WorkerStatus

OK = 0
FAILURE = 1
NO_CONFIGURATION = 78
