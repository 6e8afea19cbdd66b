"""Ingest pipelines with `inference` processors: read, taken apart, and shown as they were put.

Elasticsearch stores a pipeline without the processors that the proxy runs; these are kept in its
`_meta.xinf`. They stand at the beginning of the pipeline, where they work on what callers send, or
at its end. Source: InferenceProcessor, ConfigurationUtils.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proxy.ground.errors import IllegalArgument, ParseFailed, ProxyError
from proxy.semantic import layout

TYPE: Final = "inference"
NONE: Final = "_none"  # the pipeline's name that stands for no pipeline
_META: Final = "_meta"
_BEFORE, _AFTER = "before", "after"
# What ingest documents have beside their source; none of it may be read or written here.
_METADATA: Final = frozenset(
    ("_index", "_id", "_routing", "_version", "_version_type", "_ingest", "_type")
)
_PLACES: Final = (
    "[inference] processors with the endpoint [{model_id}] of the proxy can only be the first or "
    "the last processors of a pipeline, and not within others"
)
_IF: Final = (
    "[if] is not possible for [inference] processors with the endpoint [{model_id}] of the proxy, "
    "which cannot run scripts"
)
_HANDLERS: Final = (
    "[on_failure] of a pipeline is not possible where its last processors are [inference] "
    "processors with an endpoint of the proxy: give them an [on_failure] of their own"
)
_USER: Final = "set_security_user"
_USER_BEFORE: Final = (
    "[set_security_user] is not possible in a pipeline whose last processors are [inference] "
    "processors with an endpoint of the proxy"
)

Config = dict[str, Any]
IsOurs = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Input:
    """A field with text, and where what is made of it goes."""

    field: str
    output: str

    @property
    def model_field(self) -> str:
        """Where the model's id goes, beside the output."""
        parent, dot, _ = self.output.rpartition(".")
        return f"{parent}{dot}model_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """An inference processor; one without `inputs` has the older `target_field` and `field_map`."""

    model_id: str
    inputs: tuple[Input, ...] | None
    ignore_missing: bool = False
    ignore_failure: bool = False
    on_failure: Sequence[Config] = ()
    tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A pipeline as far as the proxy runs it."""

    id: str
    before: tuple[Processor, ...]
    after: tuple[Processor, ...]
    on_failure: Sequence[Config] = ()  # of the whole pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The processors of a pipeline: those of the proxy, and the rest."""

    before: list[Config]
    rest: list[Any]
    after: list[Config]

    def stored(self, definition: Mapping[str, Any]) -> dict[str, Any]:
        """The pipeline as Elasticsearch gets it."""
        kept = {_BEFORE: self.before, _AFTER: self.after}
        meta = {**(definition.get(_META) or {}), layout.CONTAINER: kept}
        return {**definition, "processors": self.rest, _META: meta}

    def pipeline(self, pipeline_id: str, definition: Mapping[str, Any]) -> Pipeline:
        """What the proxy does of it. Raises: ParseFailed."""
        return Pipeline(
            id=pipeline_id,
            before=tuple(map(read_processor, self.before)),
            after=tuple(map(read_processor, self.after)),
            on_failure=tuple(definition.get("on_failure") or ()),
        )


def model_ids(value: Any) -> Iterator[str]:
    """The models that the inference processors of a definition name, wherever these stand."""
    for config in _configs(value, TYPE):
        if isinstance(model_id := config.get("model_id"), str):
            yield model_id


def called(value: Any) -> set[str]:
    """The pipelines that a definition's `pipeline` processors name."""
    names = (config.get("name") for config in _configs(value, "pipeline"))
    return {name for name in names if isinstance(name, str)}


def is_of_caller(value: Any) -> bool:
    """Whether a definition has a processor that depends on who writes."""
    return any(True for _ in _configs(value, _USER))


def _configs(value: Any, kind: str) -> Iterator[Config]:
    """The configurations of a definition's processors of one type."""
    if isinstance(value, list):
        for one in value:
            yield from _configs(one, kind)
    elif isinstance(value, Mapping):
        for key, below in value.items():
            if key == kind and isinstance(below, dict):
                yield below
            yield from _configs(below, kind)


def split(definition: Mapping[str, Any], is_ours: IsOurs) -> Split | None:
    """Take a definition apart; None where no processor is ours.

    Raises: ParseFailed as Elasticsearch does; IllegalArgument for what the proxy cannot run.
    """
    processors = definition.get("processors")
    if not isinstance(processors, list) or not any(map(is_ours, model_ids(definition))):
        return None
    for name, kind in (("on_failure", list), (_META, dict)):
        value = definition.get(name)
        if value is not None and not isinstance(value, kind):
            raise ParseFailed(f"[{name}] {_wrong_kind(value, kind)}", extra={"property_name": name})
    ours = [_own_config(one, is_ours) is not None for one in processors]
    first = ours.index(False) if False in ours else len(ours)
    last = len(ours) - (ours[::-1].index(False) if False in ours else 0)
    found = Split(
        before=processors[:first],
        rest=processors[first:last],
        after=processors[last:] if first < len(ours) else [],
    )
    between = {"processors": found.rest, "on_failure": definition.get("on_failure")}
    handlers = [config[TYPE].get("on_failure") for config in (*found.before, *found.after)]
    for model_id in model_ids([between, handlers]):
        if is_ours(model_id):
            raise IllegalArgument(_PLACES.format(model_id=model_id))
    found.pipeline("", definition)
    if found.after and definition.get("on_failure"):
        raise IllegalArgument(_HANDLERS)
    if found.after and is_of_caller(found.rest):
        raise IllegalArgument(_USER_BEFORE)
    return found


def _own_config(processor: Any, is_ours: IsOurs) -> Config | None:
    """The configuration of a processor of ours; None for any other."""
    match processor:
        case {"inference": {"model_id": str(model_id), **_rest}} if len(processor) == 1:
            return processor[TYPE] if is_ours(model_id) else None
    return None


def kept_in(stored: Mapping[str, Any]) -> Mapping[str, list[Config]] | None:
    """The processors that are kept beside a pipeline; None if there are none."""
    meta = stored.get(_META)
    kept = meta.get(layout.CONTAINER) if isinstance(meta, Mapping) else None
    return kept if isinstance(kept, Mapping) and {_BEFORE, _AFTER} <= kept.keys() else None


def read_pipeline(pipeline_id: str, stored: Mapping[str, Any]) -> Pipeline | None:
    """A pipeline as Elasticsearch has it, or as much of it as is kept; None if none is ours."""
    kept = kept_in(stored)
    if kept is None:
        return None
    found = Split(before=kept[_BEFORE], rest=[], after=kept[_AFTER])
    try:
        return found.pipeline(pipeline_id, stored)
    except (ProxyError, TypeError, KeyError, AttributeError):
        return None  # changed by somebody else


def shown(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A pipeline as it was put."""
    kept = kept_in(stored)
    if kept is None:
        return dict(stored)
    definition = dict(stored)
    definition[_META] = {
        key: value for key, value in stored[_META].items() if key != layout.CONTAINER
    }
    if not definition[_META]:
        del definition[_META]
    if "processors" in stored:
        definition["processors"] = [*kept[_BEFORE], *stored["processors"], *kept[_AFTER]]
    return definition


def shown_everywhere(value: Any) -> Any:
    """A document in which pipelines stand anywhere, each as it was put."""
    if isinstance(value, list):
        return [shown_everywhere(one) for one in value]
    if isinstance(value, Mapping):
        return {key: shown_everywhere(below) for key, below in shown(value).items()}
    return value


def read_processor(processor: Mapping[str, Config]) -> Processor:
    """An inference processor.

    Raises: ParseFailed as Elasticsearch does; IllegalArgument for what the proxy cannot run.
    """
    reader = _Reader(dict(processor[TYPE]))
    reader.take("description", str)
    handlers = reader.handlers()
    ignores = reader.take("ignore_failure", bool) or False
    model_id = reader.required("model_id")
    if "if" in reader.config:
        raise IllegalArgument(_IF.format(model_id=model_id))
    config = reader.take("inference_config", dict)
    inputs = reader.inputs()
    ignore_missing = False
    if inputs is None:
        for name in ("target_field", "field_map", "field_mappings"):
            reader.config.pop(name, None)
    else:
        ignore_missing = reader.take("ignore_missing", bool) or False
        reader.refuse_targets(config)
    reader.check_empty()
    return Processor(
        model_id=model_id,
        inputs=inputs,
        ignore_missing=ignore_missing,
        ignore_failure=ignores,
        on_failure=handlers,
        tag=reader.tag,
    )


_JAVA: Final = {
    bool: ("boolean", "java.lang.Boolean"),
    int: ("int", "java.lang.Integer"),
    float: ("double", "java.lang.Double"),
    str: ("string", "java.lang.String"),
    dict: ("map", "java.util.HashMap"),
    list: ("list", "java.util.ArrayList"),
}


def _wrong_kind(value: Any, kind: type) -> str:
    article = "an" if kind is int else "a"
    java = _JAVA.get(type(value), ("", type(value).__name__))[1]
    return f"property isn't {article} {_JAVA[kind][0]}, but of type [{java}]"


class _Reader:
    """Takes options out of a configuration, so that what is left is unknown."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.tag: str | None = None
        self.tag = self.take("tag", str)

    def failed(self, reason: str, name: str | None = None) -> ParseFailed:
        extra = {"property_name": name, "processor_type": TYPE, "processor_tag": self.tag}
        text = reason if name is None else f"[{name}] {reason}"
        return ParseFailed(text, extra={key: one for key, one in extra.items() if one is not None})

    def take(self, name: str, kind: type) -> Any:
        """An optional value."""
        value = self.config.pop(name, None)
        if value is not None and type(value) is not kind:
            raise self.failed(_wrong_kind(value, kind), name)
        return value

    def required(self, name: str) -> str:
        value = self.take(name, str)
        if value is None:
            raise self.failed("required property is missing", name)
        return str(value)

    def handlers(self) -> Sequence[Config]:
        """What runs when the processor has failed."""
        handlers = self.take("on_failure", list)
        if handlers is None:
            return ()
        if not handlers:
            raise self.failed("processors list cannot be empty", "on_failure")
        return tuple(handlers)

    def inputs(self) -> tuple[Input, ...] | None:
        """What is read and written; None where the option is absent."""
        name = "input_output"
        listed = self.config.pop(name, None)
        if listed is None:
            return None
        if isinstance(listed, dict):
            listed = [listed]
        if not isinstance(listed, list):
            raise self.failed("property isn't a map or list of maps", name)
        if not listed:
            raise self.failed("property cannot be empty at least one is required", name)
        if not all(isinstance(one, dict) for one in listed):
            raise self.failed("property isn't a list of maps", name)
        return self._unique([self._input(dict(one)) for one in listed])

    def _input(self, config: Config) -> Input:
        reader = _Reader(config)
        reader.tag = self.tag
        found = Input(reader.required("input_field"), reader.required("output_field"))
        for path in (found.field, found.output):
            if path.partition(".")[0] in _METADATA:
                raise IllegalArgument(
                    f"[{path}] is not possible for [{TYPE}] processors with an endpoint of the "
                    "proxy, which have only the fields of a document's source"
                )
        return found

    def _unique(self, inputs: list[Input]) -> tuple[Input, ...]:
        for name, values in (
            ("input_field", [one.field for one in inputs]),
            ("output_field", [one.output for one in inputs]),
        ):
            for place, value in enumerate(values):
                if value in values[:place]:
                    raise self.failed(f"names must be unique but [{value}] is repeated", name)
        return tuple(inputs)

    def refuse_targets(self, config: Config | None) -> None:
        """Refuse options that name a target beside `input_output`."""
        if self.take("target_field", str) is not None:
            raise self.failed(
                "option is incompatible with [input_output]. Use the [output_field] option to "
                "specify where to write the inference results to.",
                "target_field",
            )
        of_task = next(iter((config or {}).values()), None)
        if isinstance(of_task, Mapping) and of_task.get("results_field") is not None:
            raise self.failed(
                "The [inference_config.results_field] setting is incompatible with using "
                "[input_output]. Prefer to use the [input_output.output_field] option to specify "
                "where to write the inference results to."
            )

    def check_empty(self) -> None:
        """Refuse options that nobody took."""
        if self.config:
            names = ", ".join(self.config)
            raise self.failed(
                f"processor [{TYPE}] doesn't support one or more provided configuration "
                f"parameters [{names}]"
            )
