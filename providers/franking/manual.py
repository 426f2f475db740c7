"""Where a page of the documentation is, for texts that point at one: its address where the project has a public home,
else the command that prints it. The home is ``Documentation`` of ``project.urls`` in pyproject.toml and stands nowhere
else.
"""

from __future__ import annotations

from functools import cache

__all__ = ["page_reference"]


def page_reference(topic: str) -> str:
    """Return the address of a page, such as ``gmail``, or the command that shows it."""
    home = _home()
    return f"{home.rstrip('/')}/{topic}/" if home else f"franking docs {topic}"


@cache
def _home() -> str:
    from importlib.metadata import PackageNotFoundError, metadata  # 20 ms, and few texts point anywhere

    try:
        entries = metadata("franking").get_all("Project-URL") or ()
    except PackageNotFoundError:
        return ""
    return str(dict(entry.split(", ", 1) for entry in entries).get("Documentation", ""))
