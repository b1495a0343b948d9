from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nncomp.codecs import registry
from nncomp.codecs.base import (
    Codec,
    Param,
    Value,
    format_params,
    pack_params,
    parse_method,
    rechunk,
    resolve_params,
    unpack_params,
)
from nncomp.codecs.general import SNAPPY, ZSTD
from nncomp.errors import MethodError, UnknownCodecError

INT = Param("n", "int", 1, -5, 5)
SIZE = Param("n", "size", 1, 0, 1 << 40)
FLOAT = Param("n", "float", 1.0, 0, 1)
BOOL = Param("n", "bool", False)
CHOICE = Param("n", "choice", "a", choices=("a", "bc"))


class Declared:
    """As much of a codec as parameters need."""

    name = "declared"
    levels: ClassVar[dict[int, dict[str, Value]]] = {}
    params = (
        Param("first", "int", 1, 0, 9),
        Param("speed", "int", 5, 0, 9, stored=False),
        Param("on", "bool", False),
        Param("rate", "float", 0.1, 0, 1),
    )


DECLARED: Codec = Declared()


@pytest.mark.parametrize(
    ("param", "text", "value"),
    [
        (INT, "-5", -5),
        (INT, " 3 ", 3),
        (SIZE, "64K", 64 << 10),
        (SIZE, "2m", 2 << 20),
        (SIZE, "1G", 1 << 30),
        (SIZE, "123", 123),
        (FLOAT, "0.25", 0.25),
        (FLOAT, "1e-3", 0.001),
        (BOOL, "on", True),
        (BOOL, "off", False),
        (CHOICE, "bc", "bc"),
    ],
)
def test_values_are_read_and_come_back(param: Param, text: str, value: Value) -> None:
    read = param.parse(text)
    assert read == value
    assert type(read) is type(value)
    assert param.parse(param.format(read)) == read


@pytest.mark.parametrize(
    ("param", "text"),
    [
        (INT, ""),
        (INT, "6"),
        (INT, "1.0"),
        (INT, "1K"),
        (INT, "9" * 5000),
        (SIZE, "K"),
        (SIZE, "1T"),
        (SIZE, "-1K"),
        (SIZE, "2048G"),
        (FLOAT, "nan"),
        (FLOAT, "inf"),
        (FLOAT, "x"),
        (BOOL, "yes"),
        (CHOICE, "b"),
        (CHOICE, "A"),
    ],
)
def test_other_values_are_refused_naming_the_valid_ones(param: Param, text: str) -> None:
    with pytest.raises(MethodError) as caught:
        param.parse(text)
    assert param.describe() in str(caught.value)


@pytest.mark.parametrize(
    ("text", "name", "settings"),
    [
        ("zstd", "zstd", {}),
        (" ZSTD ", "zstd", {}),
        ("zstd:", "zstd", {}),
        ("zstd:level=19", "zstd", {"level": "19"}),
        ("zstd: level = 19 , long=27", "zstd", {"level": "19", "long": "27"}),
    ],
)
def test_method_strings(text: str, name: str, settings: dict[str, str]) -> None:
    assert parse_method(text) == (name, settings)


@pytest.mark.parametrize("text", ["zstd:19", "zstd:level", "zstd:=3", "a:x=1,,y=2", "a:x=1,x=2"])
def test_malformed_method_strings_are_refused(text: str) -> None:
    with pytest.raises(MethodError):
        parse_method(text)


def test_method_string_goes_before_level_goes_before_default() -> None:
    assert resolve_params(ZSTD, {}, None)["level"] == 3
    assert resolve_params(ZSTD, {}, 1)["level"] == 1
    assert resolve_params(ZSTD, {"level": "5"}, 1)["level"] == 5


def test_unknown_parameter_is_refused_naming_the_known_ones() -> None:
    with pytest.raises(MethodError, match=r"no parameter 'lvl'.*level: an integer from -7 to 22"):
        resolve_params(ZSTD, {"lvl": "3"}, None)


@pytest.mark.parametrize("level", [0, 10, -1])
def test_unknown_level_is_refused_naming_the_known_ones(level: int) -> None:
    with pytest.raises(MethodError, match="1, 2, 3, 4, 5, 6, 7, 8, 9"):
        resolve_params(ZSTD, {}, level)


def test_codec_without_levels_ignores_them() -> None:
    assert resolve_params(SNAPPY, {}, 9) == resolve_params(SNAPPY, {}, None)


def test_header_text_has_the_stored_parameters_in_declared_order() -> None:
    params = resolve_params(DECLARED, {"on": "on", "speed": "9", "first": "2"}, None)
    assert format_params(DECLARED, params) == "first=2,on=on,rate=0.1"
    assert pack_params(DECLARED, params) == "2,on,0.1"
    assert unpack_params(DECLARED, "2,on,0.1") == {**params, "speed": 5}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2,on",
        "on,2,0.1",
        "2,on,0.1,5",
        "first=2,on=on,rate=0.1",
        "02,on,0.1",
        " 2,on,0.1",
        "2,on,0.10",
        "99,on,0.1",
        "2,on,0.1,",
    ],
)
def test_header_text_of_any_other_form_is_refused(text: str) -> None:
    with pytest.raises(MethodError):
        unpack_params(DECLARED, text)


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(1, 60))
def test_rechunk_keeps_the_bytes_and_cuts_evenly(chunks: list[bytes], size: int) -> None:
    pieces = list(rechunk(chunks, size))
    assert b"".join(pieces) == b"".join(chunks)
    assert all(len(piece) == size for piece in pieces[:-1])
    assert all(1 <= len(piece) <= size for piece in pieces[-1:])


def test_rechunk_counts_bytes_of_wider_items() -> None:
    assert list(rechunk([memoryview(bytes(12)).cast("I")], 8)) == [bytes(8), bytes(4)]


def test_codec_numbers_are_append_only() -> None:
    # Released archives have these numbers in them.
    released = {0: "store", 1: "zstd", 2: "lz4", 3: "snappy", 16: "sep"}
    assert {number: registry.name_of(number) for number in released} == released


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_codecs_are_found_by_number_and_by_name(number: int) -> None:
    codec = registry.by_id(number)
    assert codec.codec_id == number
    assert registry.by_name(codec.name) is codec


def test_unknown_codecs_are_refused() -> None:
    assert registry.name_of(9999) is None
    with pytest.raises(UnknownCodecError, match="9999"):
        registry.by_id(9999)
    with pytest.raises(MethodError, match=r"'bzip9'.*auto, store, zstd, lz4, snappy"):
        registry.by_name("bzip9")
