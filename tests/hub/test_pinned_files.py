"""Files of the hub that are pinned to their content."""

from __future__ import annotations

import errno
import re
import socket
import sys
import warnings

import huggingface_hub
import huggingface_hub.constants as constants
import pytest

from fake_hub import COMMIT
from places import ROOT
from segs_detailer.errors import InvalidArgumentError, MissingDependencyError, ModelError
from segs_detailer.hub import SFACE, WEIGHTS, YUNET, PinnedFile, access, named_weights, weights
from segs_detailer.hub.catalog import VIDEO_MODELS

CONTENT = bytes(range(256)) * 8


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


def test_a_file_is_fetched_once_and_costs_no_request_afterwards(hub):
    toy = hub.add(CONTENT)
    assert toy.local() is None
    path = toy.fetch()
    assert path.read_bytes() == CONTENT
    assert path.name == "toy.onnx"
    assert path.is_relative_to(hub.cache / "models--some--models" / "snapshots" / COMMIT)
    assert [command for command, place in hub.requests if "/resolve/" in place].count("GET") == 1
    hub.requests.clear()
    assert toy.fetch() == toy.local() == path
    assert hub.requests == []


def test_a_file_in_a_folder_of_its_repository(hub):
    toy = hub.add(CONTENT, file="small/v1/model.onnx")
    path = toy.fetch()
    assert path.parts[-3:] == ("small", "v1", "model.onnx")
    assert toy.local() == path
    path.resolve().write_bytes(b"")
    with pytest.warns(UserWarning, match="was removed"):
        assert toy.fetch().read_bytes() == CONTENT


def test_without_a_network_what_is_kept_serves(hub, monkeypatch):
    toy = hub.add(CONTENT)
    path = toy.fetch()
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert toy.fetch() == path
    other = hub.add(CONTENT, file="other.onnx")
    with pytest.raises(ModelError) as error:
        other.fetch()
    assert one_line(error) == "other.onnx cannot be fetched: HF_HUB_OFFLINE is set"
    assert hub.requests == []


def test_what_another_program_fetched_under_another_revision_serves(hub):
    toy = hub.add(CONTENT)
    place = hub.cache / "models--some--models" / "snapshots" / ("a" * 40) / "toy.onnx"
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT)
    assert toy.fetch() == place
    assert hub.requests == []


@pytest.mark.parametrize("length", [len(CONTENT), 100, 3 * len(CONTENT)])
def test_other_content_is_refused_and_not_kept(hub, length):
    toy = hub.add(CONTENT)
    # Whoever changed the file announces what they send.
    hub.files["some/models/toy.onnx"] = b"x" * length
    with pytest.raises(ModelError) as error:
        toy.fetch()
    text = one_line(error)
    assert re.fullmatch(r"toy.onnx cannot be fetched: \S+ sent another file \(its SHA-256 .*, which was not kept", text)
    assert hub.kept == []
    assert toy.local() is None


def test_content_that_is_not_what_was_announced_is_refused(hub):
    toy = hub.add(CONTENT)
    hub.sent["some/models/toy.onnx"] = CONTENT[::-1]
    with pytest.raises(ModelError, match="sent another file"):
        toy.fetch()
    assert hub.kept == []


def test_a_download_that_breaks_off_leaves_nothing(hub, capfd):
    toy = hub.add(CONTENT)
    hub.sent["some/models/toy.onnx"] = CONTENT[:50]
    with pytest.raises(ModelError) as error:
        toy.fetch()
    assert one_line(error).startswith(f"toy.onnx cannot be fetched: {hub.url}: ")
    assert hub.kept == []
    assert not (hub.cache / "models--some--models").exists()
    assert capfd.readouterr().err == ""


def test_a_damaged_file_is_named_removed_and_fetched_anew(hub):
    toy = hub.add(CONTENT)
    path = toy.fetch()
    path.resolve().write_bytes(CONTENT[:-1] + b"!")
    assert toy.local() is None
    assert toy.is_damaged()
    with pytest.warns(UserWarning, match=f"{re.escape(str(path))}: is not toy.onnx as it was published, and was remo"):
        assert toy.fetch() == path
    assert path.read_bytes() == CONTENT
    assert not toy.is_damaged()


def test_a_damaged_file_does_not_stay_where_it_cannot_be_fetched_anew(hub, monkeypatch):
    toy = hub.add(CONTENT)
    toy.fetch().resolve().write_bytes(b"")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.warns(UserWarning, match="was removed"), pytest.raises(ModelError, match="HF_HUB_OFFLINE"):
        toy.fetch()
    assert hub.kept == []


def test_a_full_disk_is_said_before_and_while_it_fills(hub, monkeypatch):
    toy = hub.add(CONTENT)
    usage = weights.shutil.disk_usage(hub.cache.parent)
    with monkeypatch.context() as patch:
        patch.setattr(weights.shutil, "disk_usage", lambda path: usage._replace(free=1000))
        with pytest.raises(ModelError) as error:
            toy.fetch()
    assert re.search(r"it has 0.0 MB, and the disk of \S+ has 0.0 left$", one_line(error))
    assert not [place for command, place in hub.requests if command == "GET" and "/resolve/" in place]

    def fail(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(huggingface_hub.file_download, "http_get", fail)
        with pytest.raises(ModelError) as error:
            toy.fetch()
    assert one_line(error) == f"toy.onnx cannot be fetched: the disk of {hub.cache} is full"
    assert hub.kept == []


def test_a_file_that_the_hub_does_not_have(hub):
    toy = hub.add(CONTENT)
    hub.files.clear()
    with pytest.raises(ModelError) as error:
        toy.fetch()
    assert one_line(error) == f"toy.onnx cannot be fetched: {hub.url} does not have it"


def test_a_hub_that_is_down_is_asked_once(hub, monkeypatch):
    toy = hub.add(CONTENT)
    hub.refuses = 503
    with pytest.raises(ModelError, match="503"):
        toy.fetch()
    assert len([place for _, place in hub.requests if "/resolve/" in place]) == 1


def test_a_host_where_nobody_listens_is_asked_once(hub, monkeypatch):
    toy = hub.add(CONTENT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hub.be_at(monkeypatch, f"http://127.0.0.1:{port}")
    with pytest.raises(ModelError, match=f"127.0.0.1:{port}: "):
        toy.fetch()
    with pytest.raises(ModelError, match=f"127.0.0.1:{port} does not answer"):
        toy.fetch()
    assert hub.requests == []


def test_a_host_that_says_nothing_does_not_hold_a_run(hub, monkeypatch):
    toy = hub.add(CONTENT)
    monkeypatch.setattr(access, "_PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hub.be_at(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(ModelError, match=r"does not answer|timed out"):
            toy.fetch()


def test_without_the_hubs_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for ask in (YUNET.local, YUNET.fetch):
        with pytest.raises(MissingDependencyError, match=r"huggingface_hub is not installed: pip install 'segs-detail"):
            ask()


def test_what_is_pinned_is_well_formed():
    names = [each.name for each in WEIGHTS]
    assert len(set(names)) == len(names)
    for each in WEIGHTS:
        assert each.license
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", each.repository)
        if isinstance(each, PinnedFile):
            assert re.fullmatch(r"[0-9a-f]{40}", each.revision)
            assert re.fullmatch(r"[0-9a-f]{64}", each.sha256)


def test_the_video_models_are_those_of_the_docs():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    assert [each.repository for each in VIDEO_MODELS if each.repository not in text] == []


def test_weights_are_known_by_their_names_and_by_their_repositories():
    assert named_weights("YuNet") is named_weights("opencv/face_detection_yunet") is YUNET
    assert named_weights("sface") is SFACE
    with pytest.raises(InvalidArgumentError, match=r"name: expected one of yunet, sface.*did you mean yunet"):
        named_weights("yunett")


def test_no_progress_bar_is_left_switched_off(hub):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hub.add(CONTENT).fetch()
    assert not huggingface_hub.utils.are_progress_bars_disabled()
