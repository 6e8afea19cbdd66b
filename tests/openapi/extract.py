"""Makes inference.json from Elastic's OpenAPI description of Elasticsearch.

    python -m tests.openapi.extract elasticsearch-serverless-openapi.json

reads a file of elasticsearch-specification's output/openapi/ and writes the paths that the
hugging_face service answers, with the components they refer to and without examples and prose.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

TARGET: Final = Path(__file__).with_name("inference.json")
PATHS: Final = (
    "/_inference",
    "/_inference/{inference_id}",
    "/_inference/{inference_id}/_update",
    "/_inference/{task_type}/_all",
    "/_inference/{task_type}/{huggingface_inference_id}",
    "/_inference/{task_type}/{inference_id}",
    "/_inference/{task_type}/{inference_id}/_update",
    "/_inference/chat_completion/{inference_id}/_stream",
    "/_inference/completion/{inference_id}",
    "/_inference/completion/{inference_id}/_stream",
    "/_inference/rerank/{inference_id}",
    "/_inference/text_embedding/{inference_id}",
)
PROSE: Final = {"description", "summary", "example", "examples", "externalDocs", "tags"}
COMPONENT: Final = re.compile(r"#/components/(\w+)/(.+)")


def extract(whole: dict[str, Any]) -> dict[str, Any]:
    """A description of PATHS alone, sorted by name."""
    paths = {path: bare(whole["paths"][path]) for path in PATHS}
    components: dict[str, dict[str, Any]] = {}
    wanted = list(references(paths))
    while wanted:
        kind, name = wanted.pop()
        if name not in components.setdefault(kind, {}):
            components[kind][name] = bare(whole["components"][kind][name])
            wanted += references(components[kind][name])
    return {
        "openapi": whole["openapi"],
        "info": whole["info"] | {"version": whole["info"]["version"] or "unknown"},
        "paths": paths,
        "components": components,
    }


def bare(value: Any, *, names: bool = False) -> Any:
    """A copy without prose and extensions; with `names`, the keys are names and all stay."""
    if isinstance(value, list):
        return [bare(item) for item in value]
    if not isinstance(value, dict):
        return value
    # A description is prose, except that a response must have one.
    dropped = PROSE - {"description"} if "content" in value else PROSE
    return {
        key: bare(item, names=not names and key == "properties")
        for key, item in value.items()
        if names or not (key in dropped or key.startswith("x-"))
    }


def references(value: Any) -> Iterator[tuple[str, str]]:
    """Kind and name of each component that a value refers to."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref" and (match := COMPONENT.fullmatch(item)):
                yield match[1], match[2]
            else:
                yield from references(item)


if __name__ == "__main__":
    description = extract(orjson.loads(Path(sys.argv[1]).read_bytes()))
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    TARGET.write_bytes(orjson.dumps(description, option=options))
