"""A run for each of some hours by one process, as a watch does them; prints the most memory of each, in bytes.

    python tests/bench/turns.py FOLDER START_S HOURS

``FOLDER/landing`` holds the logs of each hour, which land when it is over.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from gslb.measure.process import Wanted, once
from gslb.measure.settings import Settings


def main() -> None:
    """Do the runs."""
    here, start_s, hours = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    settings = Settings(
        log=here / "log", out=here / "tables", zones=here / "zones", data=here / "data", memory_mb=1024, threads=2
    )
    for at in range(hours):
        for file in sorted((here / "landing" / f"{at:02}").rglob("*.parquet")):
            place = here / "log" / file.parent.name / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
        Path("/proc/self/clear_refs").write_text("5")  # the most memory is counted from here on
        now_s = start_s + (at + 1) * 3600.0
        done = once(settings, Wanted(), lambda now_s=now_s: now_s)
        if not done.ok:
            sys.exit(f"hour {at}: {done.faults} {[verdict for verdict in done.verdicts if verdict.level == 'stop']}")
        print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) << 10, flush=True)


if __name__ == "__main__":
    main()
