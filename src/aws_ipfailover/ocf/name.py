"""The name of the agent: that of the file by which it was started, which can be a copy or a symbolic link."""

from __future__ import annotations

import os

from aws_ipfailover.ocf import AGENT

LONGEST = 64
"""Characters of an agent's, or a provider's, name."""

# No regular expression: a probe, which loads this, does without that module.
_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def is_name(text: str) -> bool:
    """Whether `text` can name an agent, or a provider: letters, digits, `.`, `_` and `-`, and at its start neither
    `.`, which hides a file, nor `-`, which begins an option."""
    return len(text) <= LONGEST and text[:1] not in ("", ".", "-") and set(text) <= _CHARACTERS


def name_of(path: str, otherwise: str = AGENT) -> str:
    """The name of the agent whose file was started as `path`; `otherwise` where that names no agent."""
    name = os.path.basename(path)
    return name if is_name(name) else otherwise
