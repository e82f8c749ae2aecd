"""Run all parts of the benchmark, one after the other: ``python -m benchmarks --events N``."""

from __future__ import annotations

import sys

from benchmarks.measure import arguments_of, machine, run_process, table

PARTS = ["cold_build", "profile", "further_day", "raw_sql", "peers", "report", "spark"]
#: Evidently needs some 2 GiB of memory for each million of events.
MOST_EVENTS_OF_PEERS = 1_000_000


def main() -> int:
    """Run each part as a process of its own; returns 1 if any was left out."""
    parser = arguments_of(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    print("# Benchmarks\n")
    print(table(["machine", ""], list(machine().items())), flush=True)
    left_out = []
    for part in arguments.parts:
        events = arguments.events
        if part == "peers" and events > MOST_EVENTS_OF_PEERS:
            events = MOST_EVENTS_OF_PEERS
            print(f"\nThe peers are compared at {events:,} events: more is too much for them.")
        print(f"\n## {part}\n", flush=True)
        words = ["--events", events, "--folder", arguments.folder]
        if run_process([sys.executable, "-m", f"benchmarks.{part}", *words]).exit_code:
            left_out.append(part)
    if left_out:
        print(f"Left out, in whole or in part: {', '.join(left_out)}", file=sys.stderr)
    return bool(left_out)


if __name__ == "__main__":
    sys.exit(main())
