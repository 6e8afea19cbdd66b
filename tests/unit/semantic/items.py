"""Items of a `_bulk` as tests need them."""

from __future__ import annotations

from proxy.semantic.bulk import Item
from proxy.semantic.fields import SemanticField
from proxy.semantic.filling import Chunk, FieldFilling, Filling
from proxy.semantic.modelsettings import DenseModel


def filled(number: str, texts: int, dimensions: int = 1000) -> Item:
    """An update of the document `number`, for which so many texts are to be embedded."""
    model = DenseModel(dimensions=dimensions, similarity="cosine")
    field = SemanticField(
        path="f",
        definition={"inference_id": "i"},
        number=1,
        model=model,
        seen=True,
        sources=("f",),
    )
    chunks = [Chunk(source="f", start=0, end=1, texts=("x",)) for _ in range(texts)]
    filling = Filling(fields={"f": FieldFilling(semantic=field, sources=["f"], chunks=chunks)})
    meta = {"_id": number}
    return Item(action="update", meta=meta, action_line=b"{}", source=b"{}", filling=filling)
