"""memory.py: small records under HA_RSCTMP, each under a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from aws_ipfailover.memory import Memory

NAMES = ("vip-a", "vip_a", "vip.a", "vip:a", "vip/a", "vip\na", "vip a", "v\u00efp-a", "vip-\udcff")


def test_every_key_has_a_record_of_its_own(tmp_path: Path) -> None:
    """Ids of resources that differ in one character only do not share a record; the files are in that directory."""
    for name in NAMES:
        Memory({"HA_RSCTMP": str(tmp_path)}, name).remember({"of": name})
    for name in NAMES:
        assert Memory({"HA_RSCTMP": str(tmp_path)}, name).read() == {"of": name}
    assert len(list(tmp_path.iterdir())) == len(NAMES)


@pytest.mark.parametrize("key", ["v" * 5000, "\u00ef" * 240, "../" * 100])
def test_a_long_key_has_a_record(tmp_path: Path, key: str) -> None:
    """A file's name has at most 255 bytes: the key is cut, and still another one than a key that begins like it."""
    Memory({"HA_RSCTMP": str(tmp_path)}, key).remember({"of": "the first"})
    Memory({"HA_RSCTMP": str(tmp_path)}, key + "x").remember({"of": "the second"})
    assert Memory({"HA_RSCTMP": str(tmp_path)}, key).read() == {"of": "the first"}
