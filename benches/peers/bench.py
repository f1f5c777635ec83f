"""The same work on Weft and on its peers, side by side, in one run.

    make bench                          # everything
    python benches/peers/bench.py NAME  # some of it: --help lists the names

Each figure is the best of several runs, taken in turns so that a noisy moment hits both sides. A ratio over its bound
is marked, and makes the exit code 1. Data is made once, under benches/data (TPC-H scale factor 1, and a panel).
"""

import argparse
import importlib
import json
import os
import platform
import sys

BENCHES = ["start", "weighted", "survey", "large", "flight", "postgres", "tpch", "federated", "concurrent", "rights", "load", "memory"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHES], default=[], help="what to run; all without a name")
    parser.add_argument("--runs", type=int, default=5, help="runs of each side (default 5)")
    parser.add_argument("--weft", default=os.environ.get("WEFT_BIN", "weft"), help="the weft binary (or $WEFT_BIN)")
    parser.add_argument("--data", default=os.path.join(os.path.dirname(__file__), "..", "data"), help="where data is kept")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON too")
    args = parser.parse_args()
    os.makedirs(args.data, exist_ok=True)
    figures = []
    for name in args.names or BENCHES:
        print(f"== {name}", flush=True)
        for figure in importlib.import_module(f"bench_{name}").run(args):
            figures.append(figure)
            print(figure, flush=True)
    print(f"\n{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}")
    if args.json:
        print(json.dumps([vars(figure) for figure in figures]))
    return 1 if any(not figure.holds() for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
