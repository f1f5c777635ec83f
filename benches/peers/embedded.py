"""Weft in process: the bench program `embedded`, which answers questions one by one and tells how long each took."""

import contextlib
import json
import os
import subprocess
import tempfile

import pyarrow as pa


class Embedded:
    """A running engine, without any door."""

    def __init__(self, process, folder):
        self.process, self.out = process, os.path.join(folder, "rows.arrow")

    def _ask(self, question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the embedded engine has gone")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def seconds(self, sql=None, **more):
        """How long an answer takes; `more` is said in `benches/src/bin/embedded.rs`."""
        return self._ask({"sql": sql, **more})["seconds"]

    def rows(self, sql, **more):
        self._ask({"sql": sql, "out": self.out, **more})
        with pa.memory_map(self.out) as file:
            return pa.ipc.open_file(file).read_all()

    def drain(self, sql):
        """Reads an answer without keeping it."""
        self._ask({"sql": sql, "drain": True})

    def peak_memory(self):
        """Peak resident memory in MB."""
        return self._memory("VmHWM")

    def memory(self):
        """Resident memory in MB."""
        return self._memory("VmRSS")

    def _memory(self, name):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(name)) / 1024


@contextlib.contextmanager
def embedded(weft, *tables, **environment):
    """The engine over tables (`NAME=WHERE`) or a home, until the block ends."""
    program = os.path.join(os.path.dirname(weft), "embedded")
    if not os.path.exists(program):
        raise SystemExit(f"{program} is missing: cargo build --release --workspace --bins")
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [program, *tables], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "WEFT_LOG": "error", **environment},
        )
        try:
            yield Embedded(process, folder)
        finally:
            process.stdin.close()
            process.wait(30)
