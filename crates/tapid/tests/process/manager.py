"""Runs the daemon under the stand-in for the service manager; a line on standard input restarts it, its end stops it."""
import os
import sys

sys.path.insert(0, sys.argv[1])
from stand_in import ServiceManager  # noqa: E402

manager = ServiceManager(sys.argv[3:], sys.argv[2], open(os.path.join(sys.argv[2], "log"), "a", encoding="utf-8"))
try:
    manager.start()
    print("ready", manager.process.pid, flush=True)
    for _ in sys.stdin:
        before = manager.process.pid
        manager.restart()
        assert manager.process.pid != before
        print("ready", manager.process.pid, flush=True)
finally:
    print("ended", manager.stop(), flush=True)
