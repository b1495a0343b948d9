"""`fsar` next to its peers on photographs and on stacks of small pictures.

    python benchmarks/images.py [--rounds 3] [--data FOLDER] [--save images]
    python benchmarks/images.py --table results/images.json

Everyone is given the same pixels, and must give them back: six photographs of Kodak's, one of
CLIC's, a thousand pictures of CIFAR-10 (32x32, RGB) and of MNIST (28x28, grey). Contestants that
code one picture at a time leave out the stacks, since a thousand files of a few hundred bytes
measure what files cost. Results are in the shape of CompressAI; see `nncomp bench images`.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import DATA, circumstances, load, markdown_table, place, save, say, sha256, short

from nncomp.bench import image_peers
from nncomp.bench.image_files import load as load_pixels
from nncomp.bench.images import measure

if TYPE_CHECKING:
    from collections.abc import Mapping

METHODS = (
    ("fsar", 1),
    ("fsar", None),
    ("fsar", 9),
    ("mix", None),
    ("zstd:level=19", None),
)
KODAK = tuple(f"image/kodak/kodim0{number}.png" for number in range(1, 7))
FILES = (
    *((name, "auto", False) for name in KODAK),
    ("image/clic/CLIC2020_5.png", "auto", False),
    ("image/cifar10/cifar10_karpathy_batch0_1000x3x32x32.u8", "1000x3x32x32", True),
    ("derived/mnist_test_0-1000x28x28.u8", "1000x28x28", False),
)
COLUMNS = {
    "Kodak": tuple(Path(name).name for name in KODAK),
    "CLIC": ("CLIC2020_5.png",),
    "CIFAR": ("cifar10_karpathy_batch0_1000x3x32x32.u8",),
    "MNIST": ("mnist_test_0-1000x28x28.u8",),
}


def markdown(record: Mapping[str, Any]) -> str:
    """The table of a record: bits per sub-pixel, and speeds on the photographs of Kodak's."""
    heads = [f"{name}, bits/sub-pixel" for name in COLUMNS]
    heads += ["compress, MB/cpu s", "decompress, MB/cpu s", "ms/image in", "out"]
    rows, failed = [], []
    for one in record["results"]:
        if one["failed"]:
            failed.append(f"{one['name']} failed on {one['failed']}. ")
            continue
        found = one["results"]
        where = {name: at for at, name in enumerate(found["image"])}
        groups = [[where[name] for name in names if name in where] for names in COLUMNS.values()]
        cells = [_bits(found, group) for group in groups]
        rows.append([f"`{one['name']}`", one["runs"], *cells, *_speeds(found, groups[0])])
    versions = sorted({one["description"].partition("; ")[2] for one in record["results"]})
    rounds = record["rounds"]
    how = f"medians of {rounds} runs that take turns" if rounds > 1 else "one run each, in turn"
    told = (
        "Speeds on Kodak's photographs: millions of samples in a second of the processor, and "
        f"milliseconds by the clock; {how}, one thread. Calls are in memory; of programs "
        "their start, and files, are counted. "
    )
    told += "".join(failed) + place(record) + f" Contestants: {', '.join(versions)}."
    return f"{markdown_table(['method', 'runs as', *heads], rows)}\n\n{told}"


def _bits(found: Mapping[str, Any], group: list[int]) -> str:
    """Of some pictures together."""
    samples = sum(found["samples"][at] for at in group)
    return f"{8 * sum(found['bytes'][at] for at in group) / samples:.3f}" if samples else "-"


def _speeds(found: Mapping[str, Any], group: list[int]) -> list[str]:
    """On some pictures together."""
    if not group:
        return ["-"] * 4
    size = sum(found["megabytes"][at] for at in group)
    spent = {
        key: sum(found[key][at] for at in group)
        for key in ("encoding_cpu", "decoding_cpu", "encoding_time", "decoding_time")
    }
    speeds = [short(size / max(spent[key], 1e-9)) for key in ("encoding_cpu", "decoding_cpu")]
    times = [short(1000 * spent[key] / len(group)) for key in ("encoding_time", "decoding_time")]
    return speeds + times


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description="fsar next to its peers")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.json")
    parser.add_argument("--table", type=Path, metavar="RECORD", help="print this, in Markdown")
    options = parser.parse_args()
    if options.table:
        print(markdown(load(options.table)))
        return
    record: dict[str, Any] = circumstances()
    stacks = [
        load_pixels(options.data / name, shape, planar=planar) for name, shape, planar in FILES
    ]
    peers, missing = image_peers.peers()
    for name, install in missing.items():
        say(f"{name} is not on this machine; {install}")
    contestants = [*(image_peers.own(*method) for method in METHODS), *peers]
    results = measure(stacks, contestants, options.rounds, say)
    record |= {
        "rounds": options.rounds,
        "inputs": {name: sha256((options.data / name).read_bytes()) for name, _, _ in FILES},
        "results": [asdict(result) for result in results],
    }
    if options.save:
        save(options.save, record)
    print(markdown(record))


if __name__ == "__main__":
    main()
