"""Parity with PyTorch's operator records: ``python tools/parity.py 'linalg.*' --verbose``.

Prints a line per operator that differs and the count; ``--verbose`` lists every sample. What is at
least as near as PyTorch's to what PyTorch computes in double precision is counted apart.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "torch_parity"))


def main() -> None:
    """Run the records that match."""
    from operator_checks import Difference, Extent, check_record
    from operator_samples import matches, records

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["*"], help="patterns such as 'linalg.*'")
    parser.add_argument("--dtype", default="main", help="main (float64 first) or a name")
    parser.add_argument("--most", type=int, default=None, help="samples per record")
    parser.add_argument("--order", type=int, default=2, help="highest derivative")
    parser.add_argument("--jit", type=int, default=2, help="samples per record that are compiled")
    parser.add_argument("--jit-order", type=int, default=2, help="highest derivative compiled")
    parser.add_argument("--forms", action="store_true", help="methods, in-place forms, aliases")
    parser.add_argument("--strided", action="store_true", help="operands with gaps in memory")
    parser.add_argument("--errors", action="store_true", help="PyTorch's own bad calls")
    parser.add_argument("--verbose", action="store_true", help="every difference")
    options = vars(parser.parse_args())
    patterns, verbose = options.pop("names"), options.pop("verbose")
    names = [name for name in records() if matches(name, patterns)]
    good = rounded = total = 0
    for name in names:
        try:
            count, problems = check_record(name, Extent(**options))
        except Exception as error:  # a record that cannot be drawn is reported like a difference
            text = f"{type(error).__name__}: {str(error)[:200]}"
            count, problems = 0, [Difference("harness", text)]
        problems.sort(key=lambda problem: problem.stage == "rounding")
        good += not problems
        rounded += bool(problems) and problems[0].stage == "rounding"
        total += count
        if problems:
            print(f"{name}: {len(problems)} of {count}: {problems[0]}", flush=True)
            for line in problems[1:] if verbose else []:
                print(f"    {line}")
    print(
        f"{good} of {len(names)} operators agree ({total} samples), "
        f"{rounded} more but for PyTorch's rounding"
    )


if __name__ == "__main__":
    main()
