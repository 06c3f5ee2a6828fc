"""What asks one address by one protocol of IP, each in its own way."""

from __future__ import annotations

import selectors

from aws_ipfailover.watch.addresses import Address, family_of, socket_address
from aws_ipfailover.watch.exchange import NUMBERED, Exchange
from aws_ipfailover.watch.outcomes import Outcomes


class Prober:
    """Asks a port; sockets are waited for by `selector`, and what becomes of a question is told to `outcomes`."""

    def __init__(
        self,
        address: Address,
        port: int,
        outcomes: Outcomes,
        selector: selectors.BaseSelector,
        exchange: Exchange = NUMBERED,
    ) -> None:
        self._exchange = exchange
        self._family = family_of(address)
        self._target = socket_address(address, port)
        self._outcomes = outcomes
        self._selector = selector
