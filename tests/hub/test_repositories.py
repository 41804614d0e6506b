"""Repositories of the hub that other packages load."""

from __future__ import annotations

import huggingface_hub.constants as constants
import pytest

from fake_hub import COMMIT
from segs_detailer.errors import ModelError
from segs_detailer.hub import Repository

TOY = Repository(
    name="toy", repository="some/words", license="Apache-2.0", use="is tested", patterns=("*.json", "*.s*")
)


@pytest.fixture
def words(hub):
    for file in ("config.json", "model.safetensors", "picture.png"):
        hub.files[f"some/words/{file}"] = file.encode()
    return hub


def test_the_files_that_are_needed_are_fetched(words, monkeypatch):
    assert TOY.local() is None
    folder = TOY.fetch(quiet=True)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert folder.name == COMMIT
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert TOY.local() == folder


def test_a_folder_without_weights_does_not_count(words):
    folder = TOY.fetch(quiet=True)
    (folder / "model.safetensors").unlink()
    assert TOY.local() is None


def test_a_repository_that_is_not_there(hub):
    with pytest.raises(ModelError) as error:
        TOY.fetch()
    assert str(error.value) == f"some/words cannot be fetched: {hub.url} does not have it"
    assert hub.kept == []


def test_offline(words, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="some/words cannot be fetched: HF_HUB_OFFLINE is set"):
        TOY.fetch()
