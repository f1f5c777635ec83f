"""Asks `select 1` over REST at a steady rate, and says how long the answers take from when each was due.

    WEFT_API_KEY=... python benches/peers/load.py 127.0.0.1:8080 --rate 1000 --seconds 30

Pin the server and this to a core each, such as with `taskset -c 0` and `taskset -c 1`.
"""

import argparse
import asyncio
import os
import time

CONNECTIONS = 40


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


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("--rate", type=int, default=1000, help="questions a second (default 1000)")
    parser.add_argument("--seconds", type=int, default=30)
    asked = parser.parse_args()
    host, port = asked.address.rsplit(":", 1)
    body = b'{"sql": "select 1"}'
    key = os.environ.get("WEFT_API_KEY", "")
    request = (
        f"POST /v1/sql HTTP/1.1\r\nhost: {asked.address}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body
    times, failed, total = [], 0, asked.rate * asked.seconds
    start = time.perf_counter() + 0.2

    async def client(number):
        nonlocal failed
        reader, writer = await asyncio.open_connection(host, int(port))
        for at in range(number, total, CONNECTIONS):
            due = start + at / asked.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            failed += not await ask(reader, writer, request)
            times.append(time.perf_counter() - due)
        writer.close()

    await asyncio.gather(*(client(number) for number in range(CONNECTIONS)))
    times.sort()
    p50, p99 = (times[int(len(times) * share)] * 1e3 for share in (0.5, 0.99))
    print(f"{len(times)} answers, {failed} failed: p50 {p50:.2f} ms, p99 {p99:.2f} ms, at most {times[-1] * 1e3:.1f} ms")


asyncio.run(main())
