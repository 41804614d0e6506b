"""Pages of the site that are made when it is built: the README, the changelog, the API and the command line.

mkdocs calls the functions whose names begin with `on_`; `mkdocs.yml` names this file.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import re
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python" / "segs_detailer"

# Files at the root of the repository, by the pages that they become.
FROM_ROOT = {"index.md": "README.md", "changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
# What scripts import, from the most used to the least.
PACKAGES = (
    *(
        "segs_detailer",
        "segs_detailer.detailer",
        "segs_detailer.subjects",
        "segs_detailer.models",
        "segs_detailer.jobs",
    ),
    *("segs_detailer.video", "segs_detailer.verify", "segs_detailer.ops", "segs_detailer.nodes", "segs_detailer.hub"),
)
LINK = re.compile(r"(\]\()([^)\s:#]+)((?:#[^)\s]*)?\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages that are made into the navigation, where it names their folders."""
    if importlib.util.find_spec("segs_detailer") is None:
        # Here, as mkdocs puts sys.path back after it has read this file.
        sys.path.insert(0, str(PACKAGE.parent))
    made = {
        "api/": [{name: f"api/{name}.md"} for name in PACKAGES],
        "cli/": [{f"segs-detailer {name}": f"cli/{name}.md"} for name in _commands()],
    }

    def filled(item: Any) -> Any:
        if isinstance(item, list):
            return [filled(each) for each in item]
        if isinstance(item, dict):
            return {title: filled(each) for title, each in item.items()}
        return made.get(item, item)

    config["nav"] = filled(config["nav"])
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Make the pages."""
    for page, source in FROM_ROOT.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    documented: set[str] = set()
    for name in PACKAGES:
        files.append(File.generated(config, f"api/{name}.md", content=_api_page(name, documented)))
    for name, parser in _commands().items():
        files.append(File.generated(config, f"cli/{name}.md", content="\n".join(_command_page(name, parser))))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links that lead through the repository lead to the pages of the site, or to nothing where there is none."""
    del config
    uri = page.file.src_uri
    home = PurePosixPath(FROM_ROOT.get(uri, f"docs/{uri}")).parent

    def link(match: re.Match[str]) -> str:
        target = _joined(home, match[2])
        if target is None:
            return _without_link(match)
        on_site = next((name for name, source in FROM_ROOT.items() if source == target), target.removeprefix("docs/"))
        if files.get_file_from_path(on_site) is None:
            return _without_link(match)
        return match[1] + _relative(uri, on_site) + match[3]

    return LINK.sub(link, markdown)


def _without_link(match: re.Match[str]) -> str:
    """Say in words where a file is that only the repository has."""
    return f"] ({match[2]})"


def _joined(folder: PurePosixPath, path: str) -> str | None:
    """Path from the root of the repository; None where it leaves it."""
    parts: list[str] = []
    for part in (*folder.parts, *PurePosixPath(path).parts):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _relative(page: str, target: str) -> str:
    return "../" * (len(PurePosixPath(page).parts) - 1) + target


def _api_page(package: str, documented: set[str]) -> str:
    """Document what a package exports, each name from where it is defined, and on the first page that has it."""
    source = PACKAGE.joinpath(*package.split(".")[1:], "__init__.py")
    tree = ast.parse(source.read_text(encoding="utf-8"))
    homes = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    first, _, rest = (ast.get_docstring(tree) or "").partition("\n")
    lines = [f"# {package}", "", first, rest, ""]
    exported = [homes[name] for name in _exported(tree) if name in homes]
    elsewhere = [f"[{home.rsplit('.', 1)[1]}][{home}]" for home in exported if home in documented]
    if elsewhere:
        lines += [f"On other pages: {', '.join(elsewhere)}.", ""]
    lines += [f"::: {home}\n" for home in exported if home not in documented]
    documented.update(exported)
    return "\n".join(lines)


def _exported(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return [str(item.value) for item in ast.walk(node.value) if isinstance(item, ast.Constant)]
    return []


def _commands() -> dict[str, argparse.ArgumentParser]:
    """Parsers of the command line's commands."""
    from segs_detailer.cli.options import build_parser

    return _below(build_parser())


def _below(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return {name: each for action in actions for name, each in action.choices.items()}


def _command_page(name: str, parser: argparse.ArgumentParser, level: int = 1) -> Iterator[str]:
    """Show a command with its options, which are made from the declarations of the settings."""
    yield f"{'#' * level} segs-detailer {name}"
    yield ""
    yield _shown(parser.description or "")
    yield ""
    usage = parser.format_usage().removeprefix("usage: ").strip()
    yield f"```text\n{usage if len(usage) < 400 else f'segs-detailer {name} CLIP [options]'}\n```"
    yield ""
    for group in parser._action_groups:
        rows = [row for action in group._group_actions for row in _row(parser, action)]
        if not rows:
            continue
        yield f"{'#' * (level + 1)} {(group.title or 'options').capitalize()}"
        yield ""
        if group.description:
            yield f"{_shown(group.description)}\n"
        yield "| | |\n|---|---|"
        yield from rows
        yield ""
    for inner, below in _below(parser).items():
        yield from _command_page(f"{name} {inner}", below, level + 1)
    if parser.epilog:
        yield f"{'#' * (level + 1)} Examples and exit codes"
        yield ""
        yield f"```text\n{parser.epilog.strip()}\n```"


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> Iterator[str]:
    if action.help == argparse.SUPPRESS or isinstance(action, argparse._SubParsersAction):
        return
    formatter = parser._get_formatter()
    names = ", ".join(f"`{each}`" for each in action.option_strings) or f"`{action.metavar or action.dest}`"
    value = (
        "" if action.nargs == 0 or not action.option_strings else formatter._format_args(action, action.dest.upper())
    )
    text = formatter._expand_help(action) if action.help else ""
    yield f"| {names}{f' `{value}`' if value else ''} | {_shown(text)} |"


def _shown(text: str) -> str:
    """Escape what Markdown would take for its own."""
    return re.sub(r"([<>|*_\[\]])", r"\\\1", " ".join(text.split()))
