"""Trimmed service models: the SDK's description of EC2 and STS, cut down to the operations in use.

Parsing the SDK's full model of EC2 is most of what creating a client costs. `trimmed` holds the cut-down copies, made
by scripts/trim-models, in the SDK's own format.
"""

from __future__ import annotations

from pathlib import Path
from typing import List

from botocore.loaders import Loader

MODELS = Path(__file__).parent / "trimmed"


class TrimmedLoader(Loader):
    """A loader of botocore that looks into `trimmed` first.

    The hundreds of services that the SDK knows are not looked for. endpoints.json, a megabyte, is there without its
    entries: it was superseded by each service's rule set of endpoints, which stays the SDK's own.
    """

    def __init__(self) -> None:
        super().__init__(extra_search_paths=[str(MODELS)])

    def list_available_services(self, type_name: str) -> List[str]:
        """Those of which there is a trimmed model."""
        return sorted(path.name for path in MODELS.iterdir() if path.is_dir())

    def is_builtin_path(self, path: str) -> bool:
        """Count the trimmed models as the SDK's own: they are no configuration of endpoints by the user."""
        return super().is_builtin_path(path) or Path(path).is_relative_to(MODELS)
