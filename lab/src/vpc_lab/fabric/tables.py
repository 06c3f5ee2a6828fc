"""The kernel's tables in which the fabric keeps the routes of each source of traffic. Pure."""

from __future__ import annotations

from vpc_lab.fabric.devices import TRANSIT_GATEWAY

TRANSIT_TABLE = 98
INTERNET_TABLE = 97
FIRST_TABLE = 1000
# Added to the number of an ENI's table: the table, and the mark, of what is sent to its MAC.
TO_MAC = 1 << 30


def table_number(source: str) -> int:
    """The kernel table that decides for what comes in by device `source`; the same for an ENI in every boot."""
    if source == TRANSIT_GATEWAY:
        return TRANSIT_TABLE
    # The device is named by its ENI's id, which is hexadecimal; a table has 32 bits.
    return FIRST_TABLE + int(source[1:], 16) % (1 << 29)
