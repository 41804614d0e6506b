"""Settings are declared once: their checks and the options of the command line follow."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

from segs_detailer.cli.setting_options import add_settings, given_settings, settings_from
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.settings import check_settings, declared, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Paint:
    radius: int = setting(5, help="how far", minimum=0, maximum=100, unit="px")
    share: float = setting(0.5, help="how much, 50% is half", above=0, maximum=1)
    gate: float | None = setting(None, help="where it ends", minimum=1, unit="px", default_text="the frame's edge")
    kind: Literal["oil", "water"] = setting("oil", help="what is painted with")
    wet: bool = setting(False, help="paint on what is wet")
    dry: bool = setting(True, help="let it dry")
    colors: tuple[str, ...] | None = setting(None, help="only these")
    derived: int = 0

    def __post_init__(self):
        check_settings(self)


def parser_of(base) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    add_settings(parser.add_argument_group("paint"), base)
    return parser


def test_declarations_say_all_there_is_to_know():
    radius, share, gate, kind, wet, *_, colors = declared(Paint)
    assert (radius.name, radius.type, radius.default, radius.unit, radius.range_text) == (
        "radius",
        int,
        5,
        "px",
        "0 to 100",
    )
    assert (share.type, share.optional, share.range_text) == (float, False, "above 0 to 1")
    assert (gate.type, gate.optional, gate.range_text) == (float, True, "from 1")
    assert (kind.type, kind.choices) == (str, ("oil", "water"))
    assert (wet.type, colors.type, colors.optional) == (bool, tuple, True)
    assert "derived" not in {each.name for each in declared(Paint())}


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("radius", -1, InvalidArgumentError, "radius: expected an int from 0 to 100, got -1"),
        ("radius", 1.0, InvalidTypeError, "radius: expected an int, got float"),
        ("radius", None, InvalidTypeError, "radius: expected an int, got NoneType"),
        ("share", 0, InvalidArgumentError, "share: expected a number above 0 and at most 1, got 0"),
        ("share", "1", InvalidTypeError, "share: expected a number, got str"),
        ("gate", float("nan"), InvalidArgumentError, "gate: expected a number of at least 1, got nan"),
        ("kind", "watr", InvalidArgumentError, "kind: expected 'oil' or 'water', got 'watr'.*water"),
        ("kind", 3, InvalidTypeError, "kind: expected a str, got int"),
        ("wet", 1, InvalidTypeError, "wet: expected a bool, got int"),
        ("colors", "red", InvalidTypeError, "colors: expected a tuple or None, got str"),
    ],
)
def test_values_that_cannot_be_used(name, value, error, message):
    with pytest.raises(error, match=f"^{message}"):
        Paint(**{name: value})


def test_numbers_of_numpy_become_those_of_python():
    paint = Paint(radius=np.int16(7), share=np.float32(0.25), wet=np.bool_(True))
    assert [type(value) for value in (paint.radius, paint.share, paint.wet)] == [int, float, bool]
    assert paint == Paint(radius=7, share=0.25, wet=True)


def test_options_are_made_of_declarations():
    text = " ".join(parser_of(Paint(radius=9)).format_help().split())
    for part in (
        "--radius PX how far (default: 9)",
        "--share S how much, 50% is half (default: 0.5)",
        "--gate PX where it ends (default: the frame's edge)",
        "--kind {oil,water} what is painted with (default: oil)",
        "--wet paint on what is wet",
        "--dry, --no-dry let it dry (default: on)",
        "--colors A,B only these",
    ):
        assert part in text


def test_options_give_settings_back():
    base = Paint(radius=9)
    args = parser_of(base).parse_args(["--share", "0.25", "--no-dry", "--colors", "red, blue", "--kind", "water"])
    assert given_settings(args, Paint) == {"share": 0.25, "dry": False, "colors": ("red", "blue"), "kind": "water"}
    assert settings_from(args, base) == Paint(radius=9, share=0.25, dry=False, colors=("red", "blue"), kind="water")
