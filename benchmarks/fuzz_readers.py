"""Spoil whatever synthaug reads, many times, and count what it does with it.

NIfTI files, configurations, caches with their frames and provenance, weights, data sets, plans, studies, schedules,
mappings and texts of the command line are spoiled at random bytes and at random places of what they mean, and given to
the commands and functions that read them. Each must be read, or refused in one line: no traceback, no crash, at most
five seconds of processor time, one GiB of memory, and nothing written outside the folder that was named.

    python benchmarks/fuzz_readers.py --inputs 20000
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.fuzz.campaign import Campaign, run_campaign, waited


def main() -> int:
    """Run it; exit code 1 where an input did what none may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="the same seed makes the same inputs")
    parser.add_argument("--start", type=int, default=0, help="number of the first input: makes a failure again")
    parser.add_argument("--failures", type=Path, help="file for what went wrong, one line of JSON for each")
    given = parser.parse_args()
    started = time.monotonic()

    def progress(index: int, campaign: Campaign) -> None:
        if (index + 1) % 100 == 0:
            print(f"{index + 1} inputs, {len(campaign.failures)} failures, {waited(started)}", flush=True)
        if given.failures is not None and campaign.failures:
            given.failures.write_text("".join(json.dumps(one) + "\n" for one in campaign.failures))

    with tempfile.TemporaryDirectory(prefix="synthaug-fuzz-") as folder:
        campaign = run_campaign(
            Path(folder).resolve(), given.inputs, seed=given.seed, start=given.start, progress=progress
        )
    names = sorted({*campaign.read, *campaign.refused, *(one["reader"] for one in campaign.failures)})
    print(f"{'':24} {'inputs':>8} {'read':>8} {'refused':>8} {'failed':>8}")
    for name in names:
        failed = sum(one["reader"] == name for one in campaign.failures)
        read, refused = campaign.read[name], campaign.refused[name]
        print(f"{name:24} {read + refused + failed:8} {read:8} {refused:8} {failed:8}")
    read, refused = campaign.read.total(), campaign.refused.total()
    print(f"{'all':24} {campaign.inputs:8} {read:8} {refused:8} {len(campaign.failures):8}")
    print(
        f"longest {campaign.longest_seconds:.1f} s of processor time, most memory {campaign.most_bytes / 2**20:.0f} MiB"
    )
    print(waited(started))
    for one in campaign.failures[:20]:
        print(f"\ninput {one['index']}: {one['reader']}, {one['outcome']}, {one['action']}\n{one['told']}")
    return 1 if campaign.failures else 0


if __name__ == "__main__":
    sys.exit(main())
