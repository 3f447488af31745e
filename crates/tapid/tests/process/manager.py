"""Runs the daemon under the stand-in for the service manager: `restart`, `reload`, `park`, `start` on standard input, whose end stops it."""
import os
import signal
import sys

sys.path.insert(0, sys.argv[1])
from stand_in import ServiceManager  # noqa: E402

manager = ServiceManager(sys.argv[3:], sys.argv[2], open(os.path.join(sys.argv[2], "log"), "a", encoding="utf-8"))
try:
    manager.start()
    print("ready", manager.process.pid, flush=True)
    for order in sys.stdin:
        if order.strip() == "park":
            manager.process.send_signal(signal.SIGUSR2)
            manager.process.wait(15)
            print("parked", flush=True)
            continue
        before = manager.process.pid
        if order.strip() == "reload":
            manager.process.send_signal(signal.SIGHUP)
            manager.process.wait(15)
            manager.start()
        elif order.strip() == "start":
            manager.start()
        else:
            manager.restart()
        assert manager.process.pid != before
        print("ready", manager.process.pid, flush=True)
finally:
    print("ended", manager.stop(), flush=True)
