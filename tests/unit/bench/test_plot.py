from __future__ import annotations

import sys
from itertools import combinations
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

pytest.importorskip("matplotlib", reason="pictures need matplotlib")

from nncomp.bench import plot
from nncomp.bench.plot import COLOURS, Point, figure, pareto, save
from nncomp.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes

    from nncomp.bench.records import Record


def parsed(path: Path) -> ElementTree.Element:
    return ElementTree.fromstring(path.read_text())  # noqa: S314 - we have just written it


def names(axes: Axes) -> set[str]:
    return {text.get_text() for text in axes.texts}


def test_both_directions_have_a_picture_on_a_logarithmic_axis(record: Record) -> None:
    there, back = figure(record).axes
    for axes in (there, back):
        assert axes.get_xscale() == "log"
        assert "original size / compressed size" in axes.get_ylabel()
        assert names(axes) == {"sep", "mix -6", "zstd:level=3", "zstd -19"}
    assert [axes.get_title(loc="left") for axes in (there, back)] == [
        "Compression, 2 files",
        "Decompression, 2 files",
    ]


def test_points_stand_where_the_figures_say(record: Record) -> None:
    there, back = figure(record).axes
    for axes, speeds in ((there, (0.01, 0.3, 200.0)), (back, (0.01, 0.3, 600.0))):
        own = next(each for each in axes.collections if each.get_label() == "nncomp")
        offsets = [tuple(each) for each in own.get_offsets()]
        assert [x for x, _ in offsets] == pytest.approx(list(speeds))
        assert [y for _, y in offsets] == pytest.approx([4.0, 3.7, 2.8], rel=1e-3)


def test_ours_and_others_differ_in_shape_and_in_colour(record: Record) -> None:
    own, others = figure(record).axes[0].collections
    assert own.get_paths()[0].vertices.shape != others.get_paths()[0].vertices.shape
    assert own.get_facecolor().tolist() != others.get_facecolor().tolist()


def test_copying_is_a_line_and_what_failed_is_named(record: Record) -> None:
    drawn = figure(record)
    line = next(each for each in drawn.axes[0].get_lines() if each.get_label() == "memcpy")
    assert line.get_xdata()[0] == pytest.approx(9000.0)
    assert drawn.get_supxlabel() == "not for all files, so not shown: xz -9e, snappy"


def test_the_pareto_line_has_what_nothing_is_faster_and_smaller_than() -> None:
    points = [
        Point(name, "own", speed, ratio)
        for name, speed, ratio in [
            ("slow and small", 1.0, 5.0),
            ("slower, no smaller", 0.5, 5.0),
            ("worse in both", 1.5, 2.0),
            ("in between", 2.0, 4.0),
            ("as fast, larger", 2.0, 3.0),
            ("fast and large", 9.0, 1.1),
        ]
    ]
    kept = ["slow and small", "in between", "fast and large"]
    assert [each.method for each in pareto(points)] == kept
    assert [each.method for each in pareto(points[::-1])] == kept
    assert pareto([]) == []


def test_labels_hide_neither_each_other_nor_points(make: Callable[..., Record]) -> None:
    drawn = figure(make())
    drawn.draw_without_rendering()
    for axes in drawn.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) == 6
        marks = [
            tuple(axes.transData.transform(point))
            for each in axes.collections
            for point in each.get_offsets()
        ]
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
        assert not any(box.contains(*mark) for box in boxes for mark in marks)
        frame = axes.bbox
        assert all(frame.contains(box.x0, box.y0) for box in boxes)
        assert all(frame.contains(box.x1, box.y1) for box in boxes)


@pytest.mark.parametrize("count", [0, 1])
def test_few_files_and_none(make: Callable[..., Record], count: int, tmp_path: Path) -> None:
    save(make(dict.fromkeys([f"f{i}" for i in range(count)], 1000)), tmp_path / "few.svg")
    assert parsed(tmp_path / "few.svg").tag.endswith("svg")


def test_points_without_speed_or_ratio_are_left_out(make: Callable[..., Record]) -> None:
    assert names(figure(make({"empty": 0})).axes[0]) == set()


# --- files ---------------------------------------------------------------------------


def test_the_same_record_gives_the_same_files(record: Record, tmp_path: Path) -> None:
    for names, start in ((("a.svg", "b.SVG"), b"<?xml"), (("a.png", "b.png"), b"\x89PNG")):
        first, second = (tmp_path / name for name in names)
        save(record, first)
        save(record, second)
        assert first.read_bytes() == second.read_bytes()
        assert first.read_bytes().startswith(start)
        assert b"2026" not in first.read_bytes()


def test_names_are_text_and_no_markup_or_formula(hostile: Record, tmp_path: Path) -> None:
    save(hostile, tmp_path / "hostile.svg")
    names = [each.tag for each in parsed(tmp_path / "hostile.svg").iter()]
    assert not [each for each in names if each.endswith("script")]


def test_a_single_file_is_named_as_it_is(make: Callable[..., Record], tmp_path: Path) -> None:
    name = "<a> $x_1$ \udcff"
    save(make({name: 1000}), tmp_path / "one.svg")
    texts = [each.text for each in parsed(tmp_path / "one.svg").iter()]
    assert r"Compression, <a> $x_1$ \udcff" in texts


@pytest.mark.parametrize("name", ["plot.pdf", "plot", "svg", "plot.svg.txt"])
def test_other_suffixes_are_refused(record: Record, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"written as \.svg or \.png"):
        save(record, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_it_says_what_to_install(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for call in (
        lambda: plot.check(),
        lambda: save(record, tmp_path / "plot.svg"),
        lambda: figure(record),
    ):
        with pytest.raises(UsageError, match=r"pip install 'nncomp\[plot\]'"):
            call()


def test_settings_of_the_process_stay_as_they_are(record: Record, tmp_path: Path) -> None:
    import matplotlib

    before = matplotlib.rcParams.copy()  # which looks at no backend
    save(record, tmp_path / "plot.svg")
    assert matplotlib.rcParams.copy() == before
    assert COLOURS["own"].encode() in (tmp_path / "plot.svg").read_bytes()
    assert "matplotlib.pyplot" not in sys.modules
