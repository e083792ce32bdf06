"""How far predictions are off on this machine: it is measured, then a model trained and served that no probe was.

    .venv/bin/python benchmarks/this_machine.py [RESULT.json]

Takes about ten minutes on an idle machine with two cores; on a busy one the figures mean little. With the document of
an earlier `steelyard compare --measured --json` it only judges that one. Exit code 1 where a limit is missed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

LIMITS = (  # words of a quantity, how far off it may be, and whether that is in points of a share
    ("training speed", 0.15, False),
    ("TPOT, mean, 1 user", 0.20, False),
    ("TPOT, mean, 8 users", 0.20, False),
    ("output throughput of a replica", 0.20, False),
    ("efficiency of ", 0.15, True),
)


def main() -> int:
    """Print each judged quantity with its limit."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(sys.argv[1]) if len(sys.argv) > 1 else _measured(Path(folder))
        rows = json.loads(result.read_text())["result"]["factors"]
    missed = 0
    for words, limit, in_points in LIMITS:
        for row in rows:
            if not row["label"].startswith(words) or row["predicted"] is None:
                continue
            measured, predicted = row["measured"], row["predicted"]["p50"]
            off = predicted - measured if in_points else predicted / measured - 1.0
            missed += abs(off) > limit
            unit = " points" if in_points else "%"
            print(
                f"{row['side']:9} {row['label']:44} measured {measured:10.4g}  predicted {predicted:10.4g}  "
                f"{off * 100:+6.1f}{unit} of {limit * 100:.0f} {'' if abs(off) <= limit else 'MISSED'}"
            )
    return int(missed > 0)


def _measured(folder: Path) -> Path:
    steelyard = str(Path(sys.executable).with_name("steelyard"))
    subprocess.run([steelyard, "measure", "machine"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([steelyard, "compare", "--measured", "--json", "-o", str(folder / "result.json")], check=True)
    return folder / "result.json"


if __name__ == "__main__":
    sys.exit(main())
