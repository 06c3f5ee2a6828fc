"""EC2, STS and IAM over HTTP(S): turns requests into calls of the `Api`."""

from __future__ import annotations

import ssl
import time
from typing import Optional, Sequence, Tuple

from vpc_lab.ec2.clock import http_date, signing_time
from vpc_lab.ec2.dispatch import Api, Caller, service_of
from vpc_lab.ec2.http import HttpRequest, HttpServer
from vpc_lab.ec2.imds import Imds
from vpc_lab.ec2.reply import Reply
from vpc_lab.ec2.wire import Query


def api_server(api: Api, addresses: Sequence[Tuple[str, int]], *, tls: Optional[ssl.SSLContext] = None) -> HttpServer:
    """Serve EC2, STS and IAM on these addresses, told apart by the credential scope or the host name."""

    def handle(request: HttpRequest) -> Reply:
        service, region, access_key_id = service_of(request.headers)
        if service not in ("ec2", "sts", "iam"):
            headers = {"Content-Type": "text/xml", "Date": http_date(time.time() + api.clock_offset(request.caller))}
            return Reply(404, b"<Error><Code>NoSuchService</Code></Error>", headers)
        query = Query.parse(request.body.decode("utf-8") or request.query)
        caller = Caller(
            request.caller,
            access_key_id,
            request.headers.get("x-amz-security-token"),
            region,
            signing_time(request.headers.get("x-amz-date")),
        )
        return api.handle(service, query, caller)

    def refuses(caller: str) -> bool:
        return api.faults.refuses("ec2", caller)

    return HttpServer(handle, addresses, tls=tls, refuses=refuses)


def imds_server(imds: Imds, addresses: Sequence[Tuple[str, int]]) -> HttpServer:
    """Serve instance metadata on these addresses."""

    def refuses(caller: str) -> bool:
        return imds.faults.refuses("imds", caller)

    return HttpServer(imds.handle, addresses, refuses=refuses)
