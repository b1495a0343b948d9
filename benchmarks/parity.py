"""Do PAC and SEP+PAC in exact arithmetic reach the code lengths of the float originals?

    python benchmarks/parity.py [pac] [sep-pac] [--bytes N] [--decode] [--save NAME]

Both run through the `sep` codec at the originals' settings and 512 lanes, without the memory
of contexts, which the originals do not have. The references are
ideal code lengths of the released code on enwik6, in float on a CPU, warm-up bytes included;
ours are whole archives, headers, sync marks and coder included.
"""

from __future__ import annotations

import argparse
import io
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import (
    DATA,
    circumstances,
    median,
    per_second,
    save,
    say,
    sha256,
    short,
    text_table,
)

from nncomp.api import compress_stream, decompress
from nncomp.codecs.base import Context

ENWIK6 = "369b688978f649681136198fb96db14c1616756260c55fb4b65e9bc049552cad"
SHARED = (
    "lanes=512,segment=1,embedding=16,tokens=16,ffn=4096,mixing=lane,std=0.01,"
    "optimiser=adam,lr=1e-3,final=1.0,memory=off"
)
TOLERANCE = 0.5  # percent


@dataclass(frozen=True)
class Original:
    """A model of the paper.

    Attributes:
        settings: The method that rebuilds it.
        reference: Bytes that the released code takes for enwik6.
    """

    settings: str
    reference: int


ORIGINALS = {
    "pac": Original(f"sep:seb=off,levels=4,{SHARED}", 366_966),
    "sep-pac": Original(
        f"sep:seb=on,context=48,patch=16,stride=8,fused=1,direct=0,levels=5,{SHARED}", 395_700
    ),
}


def run(original: Original, data: bytes, options: argparse.Namespace) -> dict[str, Any]:
    """Compress, and decompress again if asked to."""
    done, told, start = 0, 0, time.perf_counter()

    def progress(count: int) -> None:
        nonlocal done, told
        done += count
        if done * 20 // len(data) > told:
            told = done * 20 // len(data)
            say(f"  {5 * told}% after {time.perf_counter() - start:.0f} s")

    sink = io.BytesIO()
    context = Context(threads=options.threads, device=options.device, progress=progress)
    compress_stream(
        io.BytesIO(data),
        sink,
        method=original.settings,
        context=context,
        content_size=len(data),
    )
    seconds = time.perf_counter() - start
    archive = sink.getvalue()
    # The reference is for one input; a prefix of it has none.
    known = original.reference if sha256(data) == ENWIK6 else None
    found: dict[str, Any] = {
        "method": original.settings,
        "size": len(archive),
        "bits_per_byte": round(8 * len(archive) / len(data), 4),
        "reference": known,
        "percent_above": round(100 * (len(archive) / known - 1), 3) if known else None,
        "compress_s": median([seconds]),
    }
    if options.decode:
        start = time.perf_counter()
        back = decompress(archive, threads=options.threads, device=options.device)
        found["decompress_s"] = median([time.perf_counter() - start])
        if back != data:
            raise SystemExit(f"{original.settings}: came back different")
    return found


def print_table(record: dict[str, Any]) -> None:
    """A line for each model."""
    headings = ["model", "bytes", "archive", "bits/byte", "reference", "above", "KB/s in", "out"]
    size = record["input"]["bytes"]
    rows = []
    for name, found in record["models"].items():
        above = found["percent_above"]
        verdict = "-"
        if above is not None:
            verdict = f"{above:+.2f}% ({'within' if above <= TOLERANCE else 'outside'})"
        back = found.get("decompress_s")
        rows.append(
            [
                name,
                f"{size:,}",
                f"{found['size']:,}",
                f"{found['bits_per_byte']:.4f}",
                f"{found['reference']:,}" if found["reference"] else "-",
                verdict,
                short(per_second(size, found["compress_s"])),
                short(per_second(size, back)) if back else "-",
            ]
        )
    print(text_table(headings, rows))


def main() -> None:
    """Run the models asked for, both by default."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=" or ".join(ORIGINALS))
    parser.add_argument("--data", type=Path, default=DATA / "enwik" / "enwik6", help="a file")
    parser.add_argument("--bytes", type=int, help="only a prefix, which has no reference")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--decode", action="store_true", help="and check the way back")
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.json")
    options = parser.parse_args()
    names = options.models or list(ORIGINALS)
    if unknown := set(names) - set(ORIGINALS):
        parser.error(f"no such model: {', '.join(sorted(unknown))}")
    data = options.data.read_bytes()[: options.bytes]
    if not data:
        parser.error(f"{options.data} gives no bytes to code")

    record = circumstances()
    record["input"] = {"file": options.data.name, "bytes": len(data), "sha256": sha256(data)}
    record["models"] = {}
    for name in names:
        say(f"{name}: {ORIGINALS[name].settings}")
        record["models"][name] = run(ORIGINALS[name], data, options)
        if options.save:  # each as it comes: they take long
            save(options.save, record)
    print_table(record)


if __name__ == "__main__":
    main()
