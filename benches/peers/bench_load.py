"""`select 1` over REST with an API key, a thousand times a second: how long answers take from when each was due."""

import asyncio
import os
import tempfile
import time

from bench_rights import key_of, write
from measure import Figure, serving

RATE, SECONDS, CONNECTIONS = 1000, 30, 40


async def ask(reader, writer, request):
    """Whether the answer is one."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = [line for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
    if length:
        await reader.readexactly(int(length[0].split(b":")[1]))
    else:
        await reader.readuntil(b"0\r\n\r\n")
    return head.startswith(b"http/1.1 200")


async def ask_steadily(address, key):
    """The times of all answers, and how many were none."""
    host, port = address.rsplit(":", 1)
    body = b'{"sql": "select 1"}'
    request = (
        f"POST /v1/sql HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body
    times, failed, start = [], 0, time.perf_counter() + 0.2

    async def client(number):
        nonlocal failed
        reader, writer = await asyncio.open_connection(host, int(port))
        for at in range(number, RATE * SECONDS, CONNECTIONS):
            due = start + at / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            failed += not await ask(reader, writer, request)
            times.append(time.perf_counter() - due)
        writer.close()

    await asyncio.gather(*(client(number) for number in range(CONNECTIONS)))
    return sorted(times), failed


def run(args):
    cores = os.sched_getaffinity(0)
    one, other = sorted(cores)[:2]
    with tempfile.TemporaryDirectory() as home:
        write(
            home,
            weft="auth: {required: true}\ndata_dir: state\n",
            policies__bench="principals:\n  - {name: analyst, roles: [analyst]}\n",
        )
        key = key_of(args.weft, home, "analyst")
        os.sched_setaffinity(0, {one})  # what the server inherits
        try:
            with serving(args.weft, "--home", home) as server:
                os.sched_setaffinity(0, {other})
                times, failed = asyncio.run(ask_steadily(server.http, key))
        finally:
            os.sched_setaffinity(0, cores)
    p50, p99 = (times[int(len(times) * share)] * 1e3 for share in (0.5, 0.99))
    detail = f"p50 {p50:.2f} ms, at most {times[-1] * 1e3:.1f} ms, {len(times)} answers, a core each"
    yield Figure("select 1 a thousand times a second with an API key, p99", p99, "ms", 5, detail)
    yield Figure("of these, no answer", failed, "", 0)
