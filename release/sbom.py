"""A software bill of materials: the Python packages that the image holds, as CycloneDX JSON.

    python -m release.sbom FOLDER

FOLDER is where they are installed (site-packages). The same packages give the same bytes, so that
images can be compared. The interpreter and Debian's packages belong to the base image and are left
out. Uses the standard library only, as it runs while the image is built.
Source: the CycloneDX 1.6 JSON schema; PEP 503 and 639.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from importlib.metadata import Distribution, distributions
from typing import Any, Final

PRODUCT: Final = "elasticsearch-hugging-face-proxy"
_LICENSE_CLASSIFIER: Final = "License :: OSI Approved :: "
_LONGEST_LICENSE: Final = 60  # characters; longer ones are texts, not names


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def bill(folder: str) -> dict[str, Any]:
    """The bill of the packages in `folder`: the product, and the others as its components."""
    installed = {normalized(found.name): found for found in distributions(path=[folder])}
    components = {name: component(name, installed[name]) for name in sorted(installed)}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**components.pop(PRODUCT), "type": "application"}},
        "components": list(components.values()),
        "dependencies": [
            {"ref": name, "dependsOn": sorted(required(installed[name]) & set(installed))}
            for name in sorted(installed)
        ],
    }


def component(name: str, found: Distribution) -> dict[str, Any]:
    licenses = licenses_of(found)
    return {
        "type": "library",
        "bom-ref": name,
        "name": name,
        "version": found.version,
        **({"licenses": licenses} if licenses else {}),
        "purl": f"pkg:pypi/{name}@{found.version}",
    }


def licenses_of(found: Distribution) -> list[Mapping[str, Any]]:
    """The licenses as the package declares them: an SPDX expression, or names."""
    metadata = found.metadata
    if "License-Expression" in metadata:
        return [{"expression": metadata["License-Expression"]}]
    names = [
        classifier.removeprefix(_LICENSE_CLASSIFIER)
        for classifier in metadata.get_all("Classifier", [])
        if classifier.startswith(_LICENSE_CLASSIFIER)
    ]
    if not names and "License" in metadata and len(metadata["License"]) < _LONGEST_LICENSE:
        names = [metadata["License"]]
    return [{"license": {"name": name}} for name in names]


def required(found: Distribution) -> set[str]:
    """Names of all packages that it may need, on any system and with any extra."""
    names = (re.match(r"[\w.-]+", wish) for wish in found.requires or [])
    return {normalized(name[0]) for name in names if name}


def main() -> None:
    json.dump(bill(sys.argv[1]), sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
