"""Trimmed service models: the SDK's description of EC2 and STS, cut down to the operations in use.

Parsing the SDK's full model of EC2 is most of what creating a client costs. `trimmed` holds the cut-down copies, made
by scripts/trim-models, in the SDK's own format, from the botocore that `trimmed/source` names.
"""

from __future__ import annotations

from pathlib import Path
from typing import List

from botocore.loaders import Loader

MODELS = Path(__file__).parent / "trimmed"


class TrimmedLoader(Loader):
    """A loader of botocore that looks into `trimmed` first.

    It does not search for the SDK's hundreds of other services. An empty endpoints.json replaces the SDK's, which is a
    megabyte: each service's rule set of endpoints has superseded it, and is still read from the SDK.
    """

    def __init__(self) -> None:
        super().__init__(extra_search_paths=[str(MODELS)])

    def list_available_services(self, type_name: str) -> List[str]:
        """The names of the services with a trimmed model, for any `type_name`."""
        return sorted(path.name for path in MODELS.iterdir() if path.is_dir())

    def is_builtin_path(self, path: str) -> bool:
        """Whether `path` is the SDK's; true for trimmed models, which the user has not configured."""
        return super().is_builtin_path(path) or Path(path).is_relative_to(MODELS)
