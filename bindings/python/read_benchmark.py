"""Measures Reader.get: read_benchmark.py LDB ROWS

The table is bench.items, with the keys key-00000000 and on. Prints `figure<TAB>value<TAB>unit`.
"""

import random
import statistics
import sys
import time

import ctlstore

ROUNDS = 9
READS_PER_ROUND = 30000


def main(path: str, rows: int) -> None:
    reader = ctlstore.Reader(path)
    numbers = random.Random(2)
    keys = [f"key-{numbers.randrange(rows):08d}" for _ in range(READS_PER_ROUND)]
    get = reader.get
    figures = []
    # The first two rounds are for warming up.
    for number in range(-2, ROUNDS):
        begin = time.perf_counter_ns()
        for key in keys:
            row = get("bench", "items", key)
        figures.append((time.perf_counter_ns() - begin) / len(keys))
        if row is None or row["code"] != key:
            sys.exit(f"the row {key} was not found")
    print(f"read.python.ns\t{statistics.median(figures[2:]):.0f}\tns")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]))
