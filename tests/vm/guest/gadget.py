#!/usr/bin/env python3
"""A USB modem of the kernel's own: an ACM gadget on the emulated controller dummy_hcd, with the simulated modem behind it.

gadget.py VENDOR PRODUCT SERIAL. Bytes cross between the gadget and a virtio port whose other end is a modem of the simulated
exchange. While that is plugged in the gadget is bound to its controller, and else it is not: to the machine that is a
modem which is plugged in and pulled out.
"""
import os
import select
import subprocess
import sys
import termios
import time
import tty

PORT = "/dev/virtio-ports/org.tapid.acm"
GADGET = "/sys/kernel/config/usb_gadget/modem"
FAR = "/dev/ttyGS0"


def put(path, text):
    with open(os.path.join(GADGET, path), "w", encoding="ascii") as file:
        file.write(text)


def make(vendor, product, serial):
    for module in ("dummy_hcd", "libcomposite", "usb_f_acm"):
        subprocess.run(["modprobe", module], check=True)
    if not os.path.isdir("/sys/kernel/config/usb_gadget"):
        subprocess.run(["mount", "-t", "configfs", "none", "/sys/kernel/config"], check=True)
    for directory in ("strings/0x409", "configs/c.1/strings/0x409", "functions/acm.usb0"):
        os.makedirs(os.path.join(GADGET, directory))
    for name, text in (("idVendor", f"0x{vendor}"), ("idProduct", f"0x{product}"), ("strings/0x409/serialnumber", serial),
                       ("strings/0x409/manufacturer", "Simulated"), ("strings/0x409/product", "Voice modem"),
                       ("configs/c.1/strings/0x409/configuration", "ACM"), ("configs/c.1/MaxPower", "100")):
        put(name, text)
    os.symlink(os.path.join(GADGET, "functions/acm.usb0"), os.path.join(GADGET, "configs/c.1/acm.usb0"))


def serial_port():
    deadline = time.monotonic() + 20
    while not os.path.exists(FAR) and time.monotonic() < deadline:
        time.sleep(0.05)
    far = os.open(FAR, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(far, termios.TCSANOW)
    return far


def carry(port, far):
    """Carries bytes until the other end is pulled out, or the terminal hangs up: `unplugged` or `hung up`."""
    there, back = b"", b""
    poll = select.poll()
    while True:
        poll.register(port, (select.POLLIN if not there else 0) | (select.POLLOUT if back else 0))
        poll.register(far, (select.POLLIN if not back else 0) | (select.POLLOUT if there else 0))
        events = dict(poll.poll(500))
        if events.get(port, 0) & select.POLLHUP:
            return "unplugged"
        try:
            if events.get(far, 0) & (select.POLLHUP | select.POLLERR):
                return "hung up"
            if events.get(port, 0) & select.POLLIN:
                there += os.read(port, 4096)
            if events.get(far, 0) & select.POLLIN:
                back += os.read(far, 4096)
            if there:
                there = there[os.write(far, there):]
            if back:
                back = back[os.write(port, back):]
        except BlockingIOError:
            pass
        except OSError:
            return "hung up"


def main(vendor, product, serial):
    make(vendor, product, serial)
    controller = os.listdir("/sys/class/udc")[0]
    port = os.open(PORT, os.O_RDWR | os.O_NONBLOCK)
    there = select.poll()
    there.register(port, 0)
    far, bound = serial_port(), False
    print("ready", flush=True)
    while True:
        plugged = not any(event & select.POLLHUP for _, event in there.poll(0))
        if plugged != bound:
            put("UDC", controller if plugged else "\n")
            bound = plugged
            print("plugged" if plugged else "unplugged", flush=True)
        if not bound:
            time.sleep(0.02)
        elif carry(port, far) == "hung up":
            os.close(far)
            far = serial_port()
            time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
