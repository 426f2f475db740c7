"""``project.urls``, made from the two addresses in ``[tool.franking]`` of pyproject.toml: the one place that says
where the project lives. Both empty: it says nowhere that it has a home.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


def addresses(home: str, documentation: str) -> dict[str, str]:
    """Return every address of the project by its label."""
    home, documentation = home.rstrip("/"), documentation.rstrip("/")
    found = {}
    if home:
        found = {"Homepage": home, "Source": home, "Issues": f"{home}/issues", "Security": f"{home}/security"}
    if documentation:
        found |= {"Documentation": f"{documentation}/", "Changelog": f"{documentation}/changelog/"}
    return found


class Addresses(MetadataHookInterface):
    """What the build asks."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the addresses to the project's metadata."""
        project = tomllib.loads((Path(self.root) / "pyproject.toml").read_text("utf-8"))
        metadata["urls"] = addresses(**project["tool"]["franking"])
