"""The nodes' texts in the languages of ComfyUI, in the files that it reads, such as `locales/zh/nodeDefs.json`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer.comfyui.nodes import NODES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segs_detailer.nodes.declaration import Input, Node, Output

__all__ = ["ENGLISH", "Language", "languages", "locale_files"]

ENGLISH = "en"
"""The language of the declarations."""

_FOLDER = Path(__file__).with_name("languages")
# What means something to vue-i18n, which reads the messages.
_SPECIAL = re.compile(r"[{}@|]")


@dataclass(frozen=True, slots=True)
class Language:
    """A language, as far as texts are translated into it; what is not stays English.

    Parameters
    ----------
    code : str
        As ComfyUI names it.
    texts : mapping
        Names of nodes, descriptions and tooltips by the English ones.
    names : mapping
        Names of inputs and outputs by those of the declarations.
    tiles : mapping
        What Pick Subjects says, by the keys of its script.
    """

    code: str
    texts: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    tiles: Mapping[str, str] = field(default_factory=dict)

    def node_definitions(self) -> dict[str, Any]:
        """Give the content of `nodeDefs.json`: all nodes, with all inputs and outputs."""
        return {node.id: self._node(node) for node in NODES}

    def main(self) -> dict[str, Any]:
        """Give the content of `main.json`: the places in the menu, and the texts of scripts."""
        categories = {node.category: node.category for node in NODES}
        return {"nodeCategories": categories, "segsDetailer": {"pick": dict(self.tiles)}}

    def _node(self, node: Node) -> dict[str, Any]:
        return {
            "display_name": self._text(node.display_name),
            "description": self._text(node.description),
            "inputs": {item.name: self._socket(item) for item in node.inputs},
            # ComfyUI knows outputs by their places.
            "outputs": {str(place): self._socket(item) for place, item in enumerate(node.outputs)},
        }

    def _socket(self, item: Input | Output) -> dict[str, str]:
        return {"name": _literal(self.names.get(item.name, item.name)), "tooltip": self._text(item.tooltip)}

    def _text(self, text: str) -> str:
        return _literal(self.texts.get(text, text))


def languages() -> Sequence[Language]:
    """Return all languages, English first.

    Returns
    -------
    sequence of Language
        In the order of their codes after that.
    """
    files = sorted(_FOLDER.glob("*.json"))
    others = [Language(file.stem, **json.loads(file.read_text(encoding="utf-8"))) for file in files]
    return [Language(ENGLISH), *others]


def locale_files() -> dict[str, str]:
    """Give the files that ComfyUI reads.

    Returns
    -------
    dict
        JSON by the files' names within the folder of languages.
    """
    files = {}
    for language in languages():
        contents = {"main.json": language.main(), "nodeDefs.json": language.node_definitions()}
        for name, content in contents.items():
            files[f"{language.code}/{name}"] = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    return files


def _literal(text: str) -> str:
    """Write a text so that vue-i18n shows it as it is."""
    return _SPECIAL.sub(lambda found: f"{{'{found[0]}'}}", text)
