"""What errors say, and how callers catch them."""

from __future__ import annotations

import pytest

from segs_detailer import errors
from segs_detailer.checks import shown, typed

KNOWN = ["face", "hand", "left_hand", "euler"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("fase", " (did you mean face?)"),
        ("HAND", " (did you mean hand or left_hand?)"),
        ("eul", " (did you mean euler?)"),
        ("zzz", ""),
        ("", ""),
        (7, ""),
        (None, ""),
    ],
)
def test_unknown_names_ask_about_those_that_look_alike(name, hint):
    assert errors.did_you_mean(name, KNOWN) == hint
    error = errors.unknown_name("label", name, KNOWN)
    assert str(error) == f"label: expected one of face, hand, left_hand, euler, got {name!r}{hint}"


def test_each_error_is_one_that_callers_know():
    assert issubclass(errors.InvalidArgumentError, ValueError)
    assert issubclass(errors.InvalidTypeError, TypeError)
    assert issubclass(errors.MediaError, OSError)
    assert issubclass(errors.MissingDependencyError, ImportError)
    assert issubclass(errors.ModelError, RuntimeError)
    for name in errors.__all__:
        value = getattr(errors, name)
        assert not isinstance(value, type) or issubclass(value, errors.SegsDetailerError)


def test_values_are_shown_on_one_short_line():
    assert shown("a\nb") == "'a\\nb'"
    assert len(shown("x" * 1000)) == 80
    assert typed(True) == "bool True"
    assert typed(None) == "NoneType None"
