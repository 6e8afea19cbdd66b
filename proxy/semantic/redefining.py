"""Semantic fields declared in indices that exist: what changes, and what may.

Source: SemanticTextFieldMapper.Builder.merge, ObjectMapper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from proxy.ground.errors import IllegalArgument
from proxy.limits.threads import offload
from proxy.semantic import layout
from proxy.semantic.answerjson import AT_ONCE
from proxy.semantic.declarations import (
    Declaration,
    Declared,
    check_place,
    completed,
    has_no_subobjects,
    model_for,
)
from proxy.semantic.exchange import Exchange, Parts
from proxy.semantic.fields import TYPE, SemanticField
from proxy.semantic.mappings import around, fields_of
from proxy.semantic.modelsettings import TASKS, ModelSettings, model_settings_of
from proxy.semantic.told import told_or_nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """An index as it is: its mapping, as the upstream shows it, and its semantic fields."""

    mapping: Mapping[str, Any]
    fields: Mapping[str, SemanticField]

    @property
    def mapping_of_ours(self) -> bool:
        """Whether it has any."""
        return bool(self.fields)

    def refuse_other_types(self, declared: Mapping[str, Any]) -> None:
        """Raises: IllegalArgument where a mapping makes a semantic field something else."""
        for path in self.fields:
            _, kind = around(declared, path)
            if kind not in (None, TYPE):
                raise IllegalArgument(_changed(path, TYPE, kind))

    def check(self, path: str) -> None:
        """Raises: IllegalArgument where `path` cannot be a semantic field in this index."""
        holders, kind = around(self.mapping, path)
        if path not in self.fields and kind is not None:
            raise IllegalArgument(_changed(path, kind, TYPE))
        check_place(
            path,
            nested=any(one.get("type") == "nested" for one in holders),
            subobjects=not any(map(has_no_subobjects, holders)),
        )


def _changed(path: str, before: str, after: str | None) -> str:
    return f"mapper [{path}] cannot be changed from type [{before}] to [{after}]"


async def present_fields(exchange: Exchange) -> dict[str, Present]:
    """The indices that a request names, by name, as far as its caller may see them."""
    index = quote(exchange.names["index"], safe="*,:<>{}+~-")
    answer = await exchange.parts.upstream.ask_as_caller(
        exchange.request, "GET", f"/{index}/_mapping?expand_wildcards=all&ignore_unavailable=true"
    )

    def read() -> dict[str, Present]:
        # Where nothing is told, what the upstream says of the request itself is what matters.
        return {
            name: Present(mapping=found["mappings"], fields=fields_of(found["mappings"]))
            for name, found in told_or_nothing(answer).items()
        }

    return await offload(len(answer.body), AT_ONCE, read)


async def mapping_for(
    parts: Parts, declared: Declared, present: Mapping[str, Present]
) -> dict[str, Any]:
    """The mapping for the upstream. Raises: IllegalArgument for what cannot be changed."""
    in_bits = await parts.release.quantises_to_bits()
    below = {}
    for field in declared.fields:
        for index in present.values():
            index.check(field.path)
        before = [one.fields[field.path] for one in present.values() if field.path in one.fields]
        model = await _model(parts, field, before)
        number = _number(field, before)
        if before and len(before) == len(present) and _same_room(field, before, model):
            below[field.path] = layout.definition_mapping(field.definition, number)
        else:
            below[field.path] = layout.field_mapping(
                field.definition,
                model,
                number=number,
                in_bits=in_bits,
            )
    return completed(declared.mapping, below)


def _same_room(
    field: Declaration, before: list[SemanticField], model: ModelSettings | None
) -> bool:
    """Whether the vectors of a field are mapped as its new definition needs them."""
    options = field.definition.get("index_options")
    return all(
        one.definition.get("index_options") == options and (one.model or model) == one.model
        for one in before
    )


async def _model(
    parts: Parts, field: Declaration, before: list[SemanticField]
) -> ModelSettings | None:
    """The model whose vectors the field will hold; that of an existing field stays."""
    endpoint = await parts.endpoints.find(field.definition["inference_id"])
    registered = None
    if endpoint is not None:
        if endpoint.task_type not in TASKS:
            raise IllegalArgument(
                f"Invalid task_type in model_settings [{endpoint.task_type.name}]"
            )
        registered = model_settings_of(endpoint)
    for one in before:
        _check_change(one, field, registered)
    model = model_for(field, registered)
    if field.definition.get("model_settings") is not None:
        _check_same(before, field.path, model)
    return next((one.model for one in before if one.model is not None), model)


def _check_change(
    before: SemanticField, field: Declaration, registered: ModelSettings | None
) -> None:
    """Whether the vectors that a field holds, or has room for, suit its new endpoint."""
    new = field.definition["inference_id"]
    if new == before.inference_id or before.model is None:
        return
    if registered is None:
        if not before.seen:
            return
        raise IllegalArgument(
            f"Cannot update [{TYPE}] field [{field.path}] because inference endpoint [{new}] "
            "does not exist."
        )
    if not registered.fits(before.model):
        raise IllegalArgument(
            f"Cannot update [{TYPE}] field [{field.path}] because inference endpoint "
            f"[{before.inference_id}] with model settings [{before.model.shown}] is not compatible "
            f"with new inference endpoint [{new}] with model settings [{registered.shown}]."
        )


def _check_same(before: list[SemanticField], path: str, given: ModelSettings | None) -> None:
    for one in before:
        if one.model is not None and given is not None and not given.fits(one.model):
            raise IllegalArgument(
                f"Mapper for [{path}] conflicts with existing mapper:\n\tCannot update parameter "
                f"[model_settings] from [{one.model.shown}] to [{given.shown}]"
            )


def _number(field: Declaration, before: list[SemanticField]) -> int:
    """The number of the definition: the present one if it says the same, else the next."""
    if not before:
        return 1
    last = max(one.number for one in before)
    same = all(one.number == last and one.definition == field.definition for one in before)
    return last if same else last + 1
