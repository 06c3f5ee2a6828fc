"""A caller's clock that is off: what EC2 and STS answer to a request signed too early or too late.

Sources: users whose clock was off got AuthFailure from EC2 beyond five minutes (hashicorp/packer#3140,
aws/aws-sdk-java#519), and SignatureDoesNotMatch from STS, whose message names 15 minutes
(EngineerBetter/control-tower#51).
"""

from __future__ import annotations

import time
from calendar import timegm
from email.utils import formatdate
from typing import Optional

from vpc_lab.ec2.errors import ApiError

STAMP = "%Y%m%dT%H%M%SZ"
EC2_SECONDS = 5 * 60.0
STS_SECONDS = 15 * 60.0


def http_date(moment: float) -> str:
    """A moment (seconds since the epoch) as the `Date` header has it."""
    return formatdate(moment, usegmt=True)


def signing_time(stamp: Optional[str]) -> Optional[float]:
    """The moment in a request's `X-Amz-Date` header; None without a header that is one."""
    try:
        return None if stamp is None else float(timegm(time.strptime(stamp, STAMP)))
    except ValueError:
        return None


def check(service: str, signed: Optional[float], now: float, code: Optional[str] = None) -> None:
    """Refuse a request that was signed too far from `now`, the service's time; with `code` where one is given.

    Requests without a signature (`signed` None) pass.
    """
    limit = STS_SECONDS if service == "sts" else EC2_SECONDS
    if signed is None or abs(signed - now) <= limit:
        return
    if code is not None:
        raise ApiError(code)
    if service != "sts":
        raise ApiError("AuthFailure")
    early = signed < now
    bound = _stamp(now - limit if early else now + limit)
    raise ApiError(
        "SignatureDoesNotMatch",
        f"Signature expired: {_stamp(signed)} is now earlier than {bound} ({_stamp(now)} - 15 min.)"
        if early
        else f"Signature not yet current: {_stamp(signed)} is still later than {bound} ({_stamp(now)} + 15 min.)",
    )


def _stamp(moment: float) -> str:
    return time.strftime(STAMP, time.gmtime(moment))
