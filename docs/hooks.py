"""Show on the site what lies outside docs/: the cards of the models in the package.

mkdocs runs this (mkdocs.yml, `hooks`). A page links to a card where it lies in the repository,
`../frieren/models/NAME/README.md`; here such a link becomes one to the page `cards/NAME.md`.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

MODELS = Path(__file__).parent.parent / "frieren" / "models"
CARD = re.compile(r"\]\((?:\.\./)+frieren/models/([\w-]+)/README\.md")
OTHER_CARD = re.compile(r"\]\(\.\./([\w-]+)/README\.md")
DOC = re.compile(r"\]\((?:\.\./)+docs/")
BESIDE_THE_CARD = re.compile(r"\[([^\]]+)\]\((?!\.\./|https?:|#|\w+\.md)[^)]+\)|\[([^\]]+)\]\(ATTRIBUTION\.md\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page per model card."""
    for card in sorted(MODELS.glob("*/README.md")):
        text = OTHER_CARD.sub(r"](\1.md", card.read_text(encoding="utf-8"))
        text = BESIDE_THE_CARD.sub(lambda found: found[1] or found[2], DOC.sub("](../", text))
        uri = f"cards/{card.parent.name}.md"
        files.append(File.generated(config, uri, content=text, inclusion=InclusionLevel.NOT_IN_NAV))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to model cards at their pages."""
    up = "../" * page.file.src_uri.count("/")
    return CARD.sub(lambda found: f"]({up}cards/{found[1]}.md", markdown)
