"""Which requests the application answers; everything else goes upstream."""

from __future__ import annotations

from collections.abc import Callable
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

    def generation(self) -> object:
        """Another object whenever an answer of `takes` may have changed."""

    def takes(self, method: bytes, target: bytes) -> bool:
        """Whether the application answers a request with this raw target."""

    def looks_into(self, method: bytes, target: bytes) -> bool:
        """Whether, where it does not, the body of the request may say otherwise."""

    def unrefused(self, target: bytes) -> bytes | None:
        """Whether such a request may go upstream first, to be looked into once that refuses it.

        It may if these bytes are not in its body: without them, Elasticsearch refuses whatever the
        application would answer. None if it has to be looked into first in any case.
        """

    def hides_body(self, head: bytes) -> bool:
        """Whether a request with this head has a body that `takes_body` cannot read."""

    def takes_body(self, request: bytes, start: int) -> bool:
        """Whether the application answers a request into which it looks.

        The body begins at `start`.
        """


class _NoLayer:
    """Takes nothing."""

    def generation(self) -> object:
        return self

    def takes(self, method: bytes, target: bytes) -> bool:
        return False

    def looks_into(self, method: bytes, target: bytes) -> bool:
        return False

    def unrefused(self, target: bytes) -> bytes | None:
        return None

    def hides_body(self, head: bytes) -> bool:
        return False

    def takes_body(self, request: bytes, start: int) -> bool:
        return False


_NO_LAYER: Final = _NoLayer()


class Interception:
    """Says which requests the application answers, as `Layer` describes it."""

    # What most requests ask for: the layer's own, as one more call would be felt.
    generation: Callable[[], object]
    takes_body: Callable[[bytes, int], bool]

    def __init__(self) -> None:
        self.use(None)

    @property
    def layer(self) -> Layer | None:
        """What takes requests beside those for `_inference`, if anything does."""
        return None if self._layer is _NO_LAYER else self._layer

    def use(self, layer: Layer | None) -> None:
        """Ask `layer`, too, from now on; or none any more."""
        self._layer: Layer = layer or _NO_LAYER
        self.generation = self._layer.generation
        self.takes_body = self._layer.takes_body

    def takes(self, method: bytes, target: bytes) -> bool:
        """Whether the application answers a request with this raw target."""
        return is_inference(target) or self._layer.takes(method, target)

    def looks_into(self, method: bytes, target: bytes) -> bool:
        """Whether, where it does not, the body of the request may say otherwise."""
        return self._layer.looks_into(method, target)

    def unrefused(self, target: bytes) -> bytes | None:
        """The bytes without which such a request may go upstream first; see `Layer`."""
        return self._layer.unrefused(target)

    def hides_body(self, head: bytes) -> bool:
        """Whether a request with this head has a body that `takes_body` cannot read."""
        return self._layer.hides_body(head)


class Everything(Interception):
    """The application answers all there is."""

    def takes(self, method: bytes, target: bytes) -> bool:
        return True
