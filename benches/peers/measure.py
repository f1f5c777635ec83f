"""Measuring: figures with their bounds, runs in turns, and a weft server to ask."""

import contextlib
import dataclasses
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request


@dataclasses.dataclass
class Figure:
    """One measured value, its unit, and the bound it must hold."""

    name: str
    value: float
    unit: str
    bound: float
    detail: str = ""

    def holds(self):
        return self.value <= self.bound

    def __str__(self):
        mark = "ok  " if self.holds() else "OVER"
        return f"{mark} {self.name}: {self.value:.3g} {self.unit} (at most {self.bound:g}) {self.detail}"


def seconds(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turns(runs, **sides):
    """The best time of each side, after one run of each that is not counted."""
    for work in sides.values():
        work()
    best = {name: float("inf") for name in sides}
    for _ in range(runs):
        for name, work in sides.items():
            best[name] = min(best[name], seconds(work))
    return best


class Server:
    """A running `weft serve`."""

    def __init__(self, process, http, flight, ready_after):
        self.process, self.http, self.flight, self.ready_after = process, http, flight, ready_after

    def peak_memory(self):
        """Peak resident memory in MB: VmHWM of the process."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1)) / 1024


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_ready(url):
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@contextlib.contextmanager
def serving(weft, *flags):
    """`weft serve` on free ports, until the block ends."""
    http, flight = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with tempfile.TemporaryFile() as log:
        began = time.perf_counter()
        command = [weft, "serve", "--http", http, "--flight", flight, *flags]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            while not is_ready(f"http://{http}/health/ready"):
                if process.poll() is not None or time.perf_counter() - began > 60:
                    log.seek(0)
                    raise SystemExit(f"weft serve did not start:\n{log.read().decode()}")
                time.sleep(0.002)
            yield Server(process, http, flight, time.perf_counter() - began)
        finally:
            process.terminate()
            process.wait(10)


def tpch(data, *tables, scale="1"):
    """Paths of TPC-H tables at a scale factor, in Parquet, made where they are missing."""
    folder = os.path.join(data, f"tpch-sf{scale}")
    missing = [table for table in tables if not os.path.exists(os.path.join(folder, f"{table}.parquet"))]
    if missing:
        os.makedirs(folder, exist_ok=True)
        tables_flag = ",".join(missing)
        subprocess.run(
            [os.path.join(os.path.dirname(sys.executable), "tpchgen-cli"), "parquet", "-s", scale,
             f"--tables={tables_flag}", f"--output-dir={folder}"],
            check=True,
        )
    return [os.path.join(folder, f"{table}.parquet") for table in tables]
