"""A software bill of materials: the Python packages that the image holds, as CycloneDX JSON.

    python -m release.sbom FOLDER

FOLDER is where they are installed (site-packages). The same packages give the same bytes, so two
images can be compared. The interpreter and Debian's packages belong to the base image and are not
in it. Needs the standard library alone: the image is built with it.
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
    """What is in `folder`; the product is what the bill is of, the others its components."""
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
    """As the package says: an SPDX expression, or names of its own."""
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
    """Names of all that a package may want, on some system or with some extra."""
    names = (re.match(r"[\w.-]+", wish) for wish in found.requires or [])
    return {normalized(name[0]) for name in names if name}


def main() -> None:
    json.dump(bill(sys.argv[1]), sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
