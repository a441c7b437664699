"""gslb: an authoritative DNS server that steers live-stream viewers to the best edge."""

__version__ = "0.1.0"
