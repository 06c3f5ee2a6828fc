"""What a package contains, as a software bill of materials: SPDX 2.3, JSON.

The same for the same commit: its time is that of the sources, and its namespace follows from its contents.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Dict, List, Sequence

import bundle

# By their files in the packages. A package that is not here has none that anybody has read yet: the build ends.
LICENCES = {
    "boto3": "Apache-2.0",
    "botocore": "Apache-2.0",
    "certifi": "MPL-2.0",
    "charset-normalizer": "MIT",
    "click": "BSD-3-Clause",
    "idna": "BSD-3-Clause",
    "jmespath": "MIT",
    "markdown-it-py": "MIT",
    "mdurl": "MIT",
    "pygments": "BSD-2-Clause",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
    "requests": "Apache-2.0",
    "rich": "MIT",
    "s3transfer": "Apache-2.0",
    "six": "MIT",
    "urllib3": "MIT",
}


def document(name: str, version: str, created: str, found: Sequence[bundle.Bundled]) -> Dict[str, Any]:
    """The document. created: as 2026-11-29T12:00:00Z.

    Raises:
        ValueError: a bundled package has no licence in the table here.
    """
    missing = sorted({one.locked.name for one in found} - set(LICENCES))
    if missing:
        raise ValueError(f"packaging/spdx.py has no licence for {', '.join(missing)}: read theirs, and write it there")
    packages = [package(name, version, "Apache-2.0"), *(bundled(one) for one in found)]
    itself = packages[0]["SPDXID"]
    digest = hashlib.sha256(json.dumps(packages, sort_keys=True).encode()).hexdigest()
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{name}-{version}",
        "documentNamespace": f"urn:sha256:{digest}",
        "creationInfo": {"created": created, "creators": [f"Tool: {name}-packaging"]},
        "documentDescribes": [itself],
        "packages": packages,
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": itself},
            *(
                {"spdxElementId": itself, "relationshipType": "CONTAINS", "relatedSpdxElement": one["SPDXID"]}
                for one in packages[1:]
            ),
        ],
    }


def bundled(one: bundle.Bundled) -> Dict[str, Any]:
    """The entry of a bundled package: which Pythons use it, and the wheel that it comes from."""
    made = package(one.locked.name, one.locked.version, LICENCES[one.locked.name])
    wheel = wheel_of(one)
    made["packageFileName"] = wheel.name
    made["checksums"] = [{"algorithm": "SHA256", "checksumValue": hashlib.sha256(wheel.read_bytes()).hexdigest()}]
    users = {bundle.OLDEST: "Python 3.9", bundle.COMMON: "Python 3.10 and newer"}
    made["comment"] = (
        f"For {' and '.join(users[each] for each in sorted(one.directories))}; trimmed: packaging/bundle.py."
    )
    return made


def wheel_of(one: bundle.Bundled) -> Path:
    """The file that pip downloaded for a bundled package."""
    folder = bundle.fetch(bundle.FOR[one.directories[0]])
    name = re.sub(r"[-_.]+", "[-_.]", one.locked.name)
    (wheel,) = [
        path for path in folder.glob("*.whl") if re.match(f"{name}-{re.escape(one.locked.version)}-", path.name)
    ]
    return wheel


def package(name: str, version: str, licence: str) -> Dict[str, Any]:
    """The entry of a package, with its package URL."""
    return {
        "SPDXID": f"SPDXRef-Package-{name}-{re.sub('[^A-Za-z0-9.-]', '-', version)}",
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": licence,
        "licenseDeclared": licence,
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": f"pkg:pypi/{name}@{version}",
            }
        ],
    }


def licences_in_use(found: Sequence[bundle.Bundled]) -> List[str]:
    """The licences of everything in a package, sorted."""
    return sorted({"Apache-2.0", *(LICENCES[one.locked.name] for one in found)})
