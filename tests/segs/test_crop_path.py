"""Crop paths: which regions they take."""

from __future__ import annotations

import math

import pytest

from segs_detailer.crop_path import CropPath
from segs_detailer.errors import InvalidArgumentError

GOOD = (0, 0, 8, 8)


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ((0, math.nan, 8, 8), r"finite coordinates .*got \[0.0, nan, 8.0, 8.0\] at 1"),
        ((0, 0, 2e9, 8), r"coordinates of at most 1073741824, got \[0.0, 0.0, 2000000000.0, 8.0\] at 1"),
        ((0, 0, 9, 8), r"regions of one size.*got \[0.0, 0.0, 9.0, 8.0\] at 1"),
        ((0, 0, 8.5, 8), r"whole pixels, got \[0.0, 0.0, 8.5, 8.0\] at 1"),
    ],
)
def test_messages_show_the_region_that_cannot_be_taken(bad, text):
    with pytest.raises(InvalidArgumentError, match=text):
        CropPath([GOOD, bad, GOOD])
