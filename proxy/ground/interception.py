"""Which requests the application answers; everything else goes upstream."""

from __future__ import annotations

from typing import Final, Protocol

_ENDS_SEGMENT: Final = (b"", b"/", b"?")


def is_inference(target: bytes) -> bool:
    """Whether Elasticsearch with the inference plugin would route this raw target to `_inference`.

    It compares literal segments: no decoding, no dot segments, no merging of slashes. What follows
    the first segment can be anything, also nothing: its routes take any value there.
    """
    return target.startswith(b"/_inference") and target[11:12] in _ENDS_SEGMENT


class Layer(Protocol):
    """Takes requests beside those for `_inference`; see proxy.semantic.interception."""

    @property
    def generation(self) -> object:
        """Another object whenever an answer of `takes` may have changed."""

    def takes(self, method: bytes, target: bytes) -> bool:
        """Whether the application answers a request with this raw target."""

    def looks_into(self, method: bytes, target: bytes) -> bool:
        """Whether, where it does not, the body of the request may say otherwise."""

    def takes_body(self, request: bytes, head_length: int) -> bool:
        """Whether the application answers a request into which it looks, head and body."""


class Interception:
    """Says which requests the application answers; `layer` may be set while it is in use."""

    def __init__(self) -> None:
        self.layer: Layer | None = None

    @property
    def generation(self) -> object:
        """Another object whenever an answer of `takes` may have changed."""
        return self if self.layer is None else self.layer.generation

    def takes(self, method: bytes, target: bytes) -> bool:
        """Whether the application answers a request with this raw target."""
        layer = self.layer
        return is_inference(target) or (layer is not None and layer.takes(method, target))

    def looks_into(self, method: bytes, target: bytes) -> bool:
        """Whether, where it does not, the body of the request may say otherwise."""
        return self.layer is not None and self.layer.looks_into(method, target)

    def takes_body(self, request: bytes, head_length: int) -> bool:
        """Whether the application answers a request into which it looks, head and body."""
        return self.layer is not None and self.layer.takes_body(request, head_length)


class Everything(Interception):
    """The application answers all there is."""

    def takes(self, method: bytes, target: bytes) -> bool:
        return True
