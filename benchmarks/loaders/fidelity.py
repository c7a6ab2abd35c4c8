"""How near crops are to others: fidelity.py REFERENCE OTHER...

All are files that `--dump` wrote. Prints for each OTHER the median PSNR of its views in dB, and what 1 % of them are
below. Views without any difference count as 100 dB.
"""

import sys

import numpy as np

MOST_DB = 100.0


def views(path):
    """Both views of all pairs as (view, y, x, channel)."""
    with np.load(path) as file:
        joined = np.concatenate([file["first"], file["second"]]).astype(np.float64)
    return joined.transpose(0, 2, 3, 1) if joined.shape[1] == 3 else joined


def main():
    reference, *others = map(views, sys.argv[1:])
    for other in others:
        errors = ((other - reference) ** 2).mean(axis=(1, 2, 3))
        ratios = 10 * np.log10(255**2 / np.maximum(errors, 255**2 / 10 ** (MOST_DB / 10)))
        print(f"{np.median(ratios):.1f} {np.quantile(ratios, 0.01):.1f}")


if __name__ == "__main__":
    main()
