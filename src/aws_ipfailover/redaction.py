"""Secrets that this process got to know, so that no text that leaves it repeats one."""

from __future__ import annotations

from typing import Optional, Set

# Characters; what is shorter is no secret of AWS, and would be found inside of harmless words.
_SHORTEST = 8
_secrets: Set[str] = set()


def keep_secret(*texts: Optional[str]) -> None:
    """Never repeat these texts, should an answer quote them."""
    _secrets.update(text for text in texts if text and len(text) >= _SHORTEST)


def without_secrets(text: str) -> str:
    """`text` with asterisks for every secret that is known."""
    for secret in _secrets:
        text = text.replace(secret, "***")
    return text
