"""Where the instance metadata service is: by the AWS SDK's own variables and settings of its profile.

Facts: AWS SDKs and Tools Reference Guide, "IMDS credential provider" (endpoint, endpoint mode), and botocore's
`configprovider` for names, `imds_use_ipv6` and their order. Read here without an SDK, which stop does not load.
"""

from __future__ import annotations

import configparser
import os
import shlex
import stat
from typing import Dict, List, Mapping, NamedTuple, Optional

_IPV4 = "http://169.254.169.254"
_IPV6 = "http://[fd00:ec2::254]"
_LARGEST = 1024 * 1024  # bytes of a configuration file


class Endpoint(NamedTuple):
    """The base URL of IMDS, without a slash at its end.

    `otherwise`: the one for a node without any route to `url`; `None` if variables or profile choose.
    """

    url: str
    otherwise: Optional[str] = None

    @property
    def urls(self) -> List[str]:
        """All that can be asked."""
        return [self.url] if self.otherwise is None else [self.url, self.otherwise]


def endpoint(environ: Mapping[str, str], profile: Optional[str] = None) -> Endpoint:
    """The endpoint that the SDK would take; a blank value counts as unset.

    If nothing is chosen it is the IPv4 one, and the IPv6 one for a node of an IPv6-only subnet whose system has set up
    no link-local IPv4 address. The SDK has no such second choice.
    """
    chosen = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "").strip()
    if chosen:
        return Endpoint(chosen.rstrip("/"))
    settings = _settings(environ, profile)
    chosen = settings.get("ec2_metadata_service_endpoint", "").strip()
    if chosen:
        return Endpoint(chosen.rstrip("/"))
    mode = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").strip()
    mode = mode or settings.get("ec2_metadata_service_endpoint_mode", "").strip()
    if mode:
        return Endpoint(_IPV6 if mode.lower() == "ipv6" else _IPV4)
    use_ipv6 = environ.get("AWS_IMDS_USE_IPV6", "").strip() or settings.get("imds_use_ipv6", "").strip()
    if use_ipv6:
        return Endpoint(_IPV6 if use_ipv6.lower() == "true" else _IPV4)
    return Endpoint(_IPV4, _IPV6)


def _settings(environ: Mapping[str, str], profile: Optional[str]) -> Dict[str, str]:
    """The settings of the profile; empty if there is none, or its file cannot be read: the SDK tells what is wrong."""
    name = profile or environ.get("AWS_DEFAULT_PROFILE") or environ.get("AWS_PROFILE") or "default"
    found: Dict[str, str] = {}
    for variable, default in (
        ("AWS_CONFIG_FILE", "~/.aws/config"),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    ):
        parser = configparser.RawConfigParser(default_section="")
        try:
            parser.read_string(_text(os.path.expanduser(environ.get(variable) or default)))
            for section in parser.sections():
                if _profile_of(section, in_config=variable == "AWS_CONFIG_FILE") == name:
                    found.update(parser.items(section))
        except (OSError, ValueError, configparser.Error):
            continue
    return found


def _profile_of(section: str, *, in_config: bool) -> Optional[str]:
    """The profile that a section of a file is for; `None` for a section of another kind."""
    if not in_config or section == "default":
        return section
    words = shlex.split(section)
    return words[1] if len(words) == 2 and words[0] == "profile" else None


def _text(path: str) -> str:
    if not stat.S_ISREG(os.stat(path).st_mode):  # to read a pipe can take for ever
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read(_LARGEST)
