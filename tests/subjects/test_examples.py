"""The examples in docstrings run, and names of the package are no modules of it."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import segs_detailer.subjects as subjects

MODULES = sorted(found.name for found in pkgutil.walk_packages(subjects.__path__, f"{subjects.__name__}."))


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    if ".finders" in name:
        pytest.importorskip("cv2")
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


@pytest.mark.parametrize("function", ["find_tracks", "read_tracks", "tracks_from_masks", "tracks_to_segs"])
def test_the_main_functions_have_one(function):
    home = subjects if function in subjects.__all__ else importlib.import_module(f"{subjects.__name__}.finders")
    assert doctest.DocTestFinder().find(getattr(home, function), function)[0].examples


@pytest.mark.parametrize("package", ["segs_detailer.subjects", "segs_detailer.subjects.finders"])
def test_no_public_name_is_that_of_a_module(package):
    loaded = importlib.import_module(package)
    modules = {found.name for found in pkgutil.iter_modules(loaded.__path__)}
    assert not modules & set(loaded.__all__)
