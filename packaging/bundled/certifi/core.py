"""Which file of certificate authorities to trust: that of the system, and else the one beside this module.

What an administrator adds to the system's store, or distrusts there, then holds for the agent as well.
"""

import os

# Debian, Ubuntu and SUSE; Red Hat and Amazon Linux; SUSE, where the first is not there.
SYSTEM = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
)
OWN = os.path.join(os.path.dirname(__file__), "cacert.pem")


def where() -> str:
    """The path of the file."""
    for path in SYSTEM:
        try:
            if os.path.getsize(path) > 0:
                return path
        except OSError:
            continue
    return OWN


def contents() -> str:
    """What is in it."""
    with open(where(), encoding="ascii", errors="replace") as file:
        return file.read()
