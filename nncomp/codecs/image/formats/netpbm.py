"""Netpbm's binary formats: PBM (P4), PGM (P5), PPM (P6), PAM (P7).

Source: https://netpbm.sourceforge.net/doc/pbm.html, pgm.html, ppm.html, pam.html.
"""

from __future__ import annotations

import re

from nncomp.codecs.image.formats import Found
from nncomp.codecs.image.layout import Layout
from nncomp.codecs.image.plates import PLANES_MAX, Shape

__all__ = ["find"]

_HEAD_MAX = 4096
_GAP = rb"(?:\s|#[^\n]*\n)+"
_NUMBER = rb"(\d{1,9})"
_PNM = re.compile(rb"P([56])" + _GAP + (_NUMBER + _GAP) * 2 + _NUMBER + rb"\s")
_PBM = re.compile(rb"P4" + (_GAP + _NUMBER) * 2 + rb"\s")
_PAM = re.compile(rb"P7\n((?:[A-Z]+ [^\n]*\n|#[^\n]*\n|\n)*?)ENDHDR\n")
_FIELD = re.compile(rb"^([A-Z]+) (\d{1,9})$", re.MULTILINE)


def find(head: bytes) -> Found | None:
    """The samples of a file that begins like this, or None."""
    match = _PNM.match(head[:_HEAD_MAX])
    if match:
        kind, width, height, most = (int(part) for part in match.groups())
        return _found(match.end(), 1 if kind == 5 else 3, height, width, most)
    if match := _PBM.match(head[:_HEAD_MAX]):
        width, height = map(int, match.groups())
        return _found(match.end(), 1, height, width, 1, bits=1)
    match = _PAM.match(head[:_HEAD_MAX])
    if not match:
        return None
    fields = {name: int(value) for name, value in _FIELD.findall(match[1])}
    numbers = [fields.get(name, 0) for name in (b"DEPTH", b"HEIGHT", b"WIDTH", b"MAXVAL")]
    return _found(match.end(), *numbers)


def _found(
    start: int, planes: int, height: int, width: int, most: int, bits: int = 8
) -> Found | None:
    if not (1 <= planes <= PLANES_MAX and height and width and 1 <= most <= 0xFFFF):
        return None
    depth = bits if most < 256 else 16
    shape = Shape(planes, 1, height, width, depth)
    return Found(start, Layout.plain(shape, big=True))
