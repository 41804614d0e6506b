"""The nodes' texts in other languages: there is one for everything, and it is one of what there is."""

from __future__ import annotations

import json
import re

import pytest

from segs_detailer.comfyui import localizing
from segs_detailer.comfyui.folder import folder_files
from segs_detailer.comfyui.localizing import ENGLISH, Language, languages
from segs_detailer.comfyui.nodes import NODES

OTHERS = [language for language in languages() if language.code != ENGLISH]
SOCKETS = [item for node in NODES for item in (*node.inputs, *node.outputs)]
TEXTS = {text for node in NODES for text in (node.display_name, node.description)} | {item.tooltip for item in SOCKETS}
NAMES = {item.name for item in SOCKETS}
# Sentences may be reworded before somebody who speaks a language looks at them again: English takes their place.
ENOUGH = 0.9
KEPT = re.compile(r"\d{2,}|\beuler|(?:fixed|follow|hold|generate)(?=:)|xywh|YuNet|OpenCV|ControlNet|BASIC_PIPE|SAM")


@pytest.fixture(scope="module")
def files():
    return folder_files()


def test_the_languages():
    assert [language.code for language in OTHERS] == ["fr", "ja", "ko", "zh"]


@pytest.mark.parametrize("language", languages(), ids=lambda language: language.code)
def test_every_node_with_every_input_and_output_is_there(language, files):
    found = json.loads(files[f"locales/{language.code}/nodeDefs.json"])
    assert list(found) == [node.id for node in NODES]
    for node in NODES:
        item = found[node.id]
        assert item["display_name"]
        assert item["description"]
        assert list(item["inputs"]) == [each.name for each in node.inputs]
        assert list(item["outputs"]) == [str(place) for place in range(len(node.outputs))]
        assert all(each["name"] and each["tooltip"] for group in ("inputs", "outputs") for each in item[group].values())
    main = json.loads(files[f"locales/{language.code}/main.json"])
    assert set(main["nodeCategories"]) == {"segs-detailer"}


def test_english_is_what_is_declared(files):
    found = json.loads(files["locales/en/nodeDefs.json"])["SegsDetailerPaste"]
    paste = next(node for node in NODES if node.id == "SegsDetailerPaste")
    assert (found["display_name"], found["description"]) == (paste.display_name, paste.description)
    assert found["inputs"]["feather"] == {
        "name": "feather",
        "tooltip": "Blur of the paste's mask, in pixels of the frame.",
    }


@pytest.mark.parametrize("language", OTHERS, ids=lambda language: language.code)
class TestTranslations:
    def test_nodes_inputs_and_most_sentences_have_one(self, language):
        missing = {node.display_name for node in NODES} - set(language.texts)
        assert not missing, f"{language.code}: what is {sorted(missing)}?"
        missing = NAMES - set(language.names)
        assert not missing, f"{language.code}: what is {sorted(missing)}?"
        missing = TEXTS - set(language.texts)
        assert len(missing) <= (1 - ENOUGH) * len(TEXTS), f"{language.code}: what is {sorted(missing)}?"

    def test_they_are_of_what_there_is(self, language):
        stale = (set(language.texts) - TEXTS) | (set(language.names) - NAMES)
        assert len(stale) <= (1 - ENOUGH) * len(TEXTS), f"{language.code}: nobody says {sorted(stale)}"

    def test_they_are_translations(self, language):
        for english, own in language.texts.items():
            assert own.strip() == own != ""
            assert english.endswith(".") == own.endswith((".", "。"))
            # Numbers, names of values and of other programs stay.
            for word in KEPT.findall(english):
                assert word in own, english
        names = [language.texts[node.display_name] for node in NODES]
        assert len(set(names)) == len(names)

    def test_the_tiles_speak_it(self, language, files):
        script = files["web/pick_subjects.js"].decode()
        english = dict(
            re.findall(r'^  (\w+): "(.*)",$', script.partition("const TEXTS = {")[2].partition("};")[0], re.M)
        )
        assert set(language.tiles) == set(english)
        for key, text in language.tiles.items():
            assert sorted(re.findall(r"[A-Z]{4,}", english[key])) == sorted(re.findall(r"[A-Z]{4,}", text))
            assert not set("{}@|") & set(text)


def test_what_means_something_to_the_browser_is_quoted():
    language = Language("xx", {"The clip.": "a {b} @c | d"})
    assert language._text("The clip.") == "a {'{'}b{'}'} {'@'}c {'|'} d"
    assert language._text("Not translated.") == "Not translated."


def test_files_are_in_order():
    for file in localizing._FOLDER.iterdir():
        content = json.loads(file.read_text(encoding="utf-8"))
        assert list(content) == ["tiles", "names", "texts"]
