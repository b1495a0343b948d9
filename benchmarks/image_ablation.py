"""What the parts of FSAR are worth: `python benchmarks/image_ablation.py PICTURES --test FILES`.

Trains the same small model with each prior (no neighbours, the left one, the upper and the left
one) and with each quantiser (STHQ, VQ), several seeds each, on the pictures of a folder, and
codes other pictures with it. The latents' cost is that of the integer tables, escapes and all;
the network's own stands beside it. `counted` leaves the codes of the O2S models as they are and
counts them, on the training pictures, in each kind of state: what the state alone is worth.
Bits are means over sub-pixels. A training that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from common import circumstances, load, markdown_table, place, save, say, sha256

from nncomp.models.fsar import NEIGHBOURS, Fsar, FsarConfig
from nncomp.models.fsar_integer import latent_bits, states_of
from nncomp.training.export import counts_of, prior_counts
from nncomp.training.loop import Plan, train
from nncomp.training.pictures import Pictures, find_pictures, load_picture, model_input

if TYPE_CHECKING:
    from collections.abc import Sequence

VARIANTS = {
    "order-0, STHQ": {"prior": "order0"},
    "O1S, STHQ": {"prior": "O1S"},
    "O2S, STHQ": {"prior": "O2S"},
    "O2S, VQ": {"prior": "O2S", "quantiser": "VQ"},
}
FULL = "O2S, STHQ"


def codes_of(model: Fsar, picture: Any) -> Any:
    """(G, h, w), of the part whose size is a multiple of the stride."""
    return model.indices(model_input(picture, model.config.stride))[0].numpy()


@torch.no_grad()
def measure(model: Fsar, pictures: Sequence[Any]) -> dict[str, float]:
    """Bits of a sub-pixel of all pictures together."""
    counts = prior_counts(model)
    sums = {"pixels": 0.0, "latent": 0.0, "network": 0.0}
    total = 0
    for picture in pictures:
        x = model_input(picture, model.config.stride)
        bits = model(x)
        sums["pixels"] += float(bits.pixels) * x.numel()
        sums["network"] += float(bits.latent) * x.numel()
        sums["latent"] += latent_bits(counts, codes_of(model, picture))
        total += x.numel()
    means = {name: value / total for name, value in sums.items()}
    used = int((counts[..., :-1].max(axis=1) > 0).sum())
    return {**means, "total": means["pixels"] + means["latent"], "codes": used}


def counted(model: Fsar, known: Sequence[Any], pictures: Sequence[Any]) -> dict[str, float]:
    """Bits of a sub-pixel for the latents by each kind of state, counted on known pictures."""
    config = model.config
    learned = [codes_of(model, picture) for picture in known]
    tested = [codes_of(model, picture) for picture in pictures]
    total = sum(model_input(picture, model.config.stride).numel() for picture in pictures)
    result = {}
    for name, neighbours in NEIGHBOURS.items():
        seen = np.zeros((config.groups, (config.codes + 1) ** neighbours, config.codes))
        for indices in learned:
            states = states_of(indices, config.codes, neighbours)
            for group in range(config.groups):
                np.add.at(seen[group], (states[group].ravel(), indices[group].ravel()), 1)
        # States seen rarely lean on what comes at all.
        overall = seen.sum(axis=1, keepdims=True) + 0.5
        overall /= overall.sum(axis=2, keepdims=True)
        counts = counts_of((seen + 8 * overall) / (seen.sum(axis=2, keepdims=True) + 8))
        result[name] = sum(latent_bits(counts, indices) for indices in tested) / total
    return result


def spread(entries: Sequence[dict[str, Any]], name: str) -> str:
    """Mean and, of several seeds, standard deviation."""
    values = [entry[name] for entry in entries]
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{deviation}"


def markdown(record: dict[str, Any]) -> str:
    """The tables."""
    rows = []
    for name in dict.fromkeys(entry["variant"] for entry in record["entries"]):
        own = [entry for entry in record["entries"] if entry["variant"] == name]
        cells = [spread(own, part) for part in ("latent", "network", "pixels", "total")]
        used = statistics.mean(entry["codes"] for entry in own)
        rows.append([name, str(len(own)), *cells, f"{used:.0f}"])
    heads = ["trained", "seeds", "latents, tables", "latents, network", "pixels", "total", "codes"]
    tables = [markdown_table(heads, rows)]
    full = [entry["counted"] for entry in record["entries"] if entry["variant"] == FULL]
    if full:
        base = statistics.mean(each["order0"] for each in full)
        rows = []
        for name in NEIGHBOURS:
            share = statistics.mean(each[name] for each in full) / base - 1
            rows.append([name, spread(full, name), f"{100 * share:+.1f}%"])
        tables.append(markdown_table(["the same codes by", "latents", "next to order 0"], rows))
    return "\n\n".join([*tables, place(record)])


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("pictures", nargs="*", type=Path, help="folders or files to learn from")
    parser.add_argument("--test", nargs="+", type=Path, default=[], help="pictures to code")
    parser.add_argument("--variant", action="append", choices=list(VARIANTS), help="all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--work", type=Path, default=Path("ablation"), help="checkpoints")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.json")
    parser.add_argument("--table", type=Path, metavar="RECORD", help="only print a record")
    return parser.parse_args()


def main() -> None:
    """Train, measure, print."""
    arguments = options()
    if arguments.table:
        print(markdown(load(arguments.table)))
        return
    torch.set_num_threads(1)
    paths = find_pictures(arguments.pictures)
    known = [picture for path in paths for picture in load_picture(path)]
    tested = [picture for path in arguments.test for picture in load_picture(path)]
    record: dict[str, Any] = {
        **circumstances(),
        "learned": {path.name: sha256(path.read_bytes()) for path in paths},
        "tested": {path.name: sha256(path.read_bytes()) for path in arguments.test},
        "entries": [],
    }
    for seed in range(arguments.seeds):
        for name in arguments.variant or VARIANTS:
            plan = Plan(replace(FsarConfig(), **VARIANTS[name]), steps=arguments.steps, seed=seed)
            start = time.perf_counter()
            folder = arguments.work / f"{name} {seed}".replace(",", "").replace(" ", "-")
            model = train(plan, Pictures(known, plan.size), folder, device=arguments.device).cpu()
            entry = {"variant": name, "seed": seed, **measure(model, tested)}
            entry["seconds"] = round(time.perf_counter() - start, 1)
            if name == FULL:
                entry["counted"] = counted(model, known, tested)
            record["entries"].append(entry)
            say(f"{name}, seed {seed}: {entry}")
            if arguments.save:
                save(arguments.save, record)
    print(markdown(record))


if __name__ == "__main__":
    main()
