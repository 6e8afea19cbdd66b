"""What a YAML or CBOR body may grow to while it is read.

Their libraries know no bounds, and aliases and shared references make a small body a huge tree.
"""

from __future__ import annotations

from proxy.ground.errors import ProxyError, XContentParseFailed
from proxy.xcontent.document import Bounds, Document


class BudgetExceeded(ValueError):
    """A body goes beyond a bound, which has a name and is `most`."""

    def __init__(self, name: str, most: int) -> None:
        super().__init__(name)
        self.most = most


class Budget:
    """Counts the values of one body, and the characters of its texts.

    There are no more values than the bounds allow, and of both no more than the body has bytes.
    """

    def __init__(self, data: bytes, bounds: Bounds) -> None:
        self._most = min(len(data) + 1, bounds.values)
        self._nesting = bounds.nesting
        self._characters = self._most_characters = len(data)
        self.values = 0

    def take_text(self, text: str) -> None:
        """Count a text, as often as it occurs in the tree. Raises: BudgetExceeded."""
        self._characters -= len(text)
        if self._characters < 0:
            raise BudgetExceeded("characters", self._most_characters)

    def take(self, depth: int) -> None:
        """Count one more value, which lies in `depth` containers. Raises: BudgetExceeded."""
        self.values += 1
        if depth > self._nesting:
            raise BudgetExceeded("nesting", self._nesting)
        if self.values > self._most:
            raise BudgetExceeded("values", self._most)


def parse_error(document: Document, offset: int, problem: str, cause: Exception) -> ProxyError:
    """The error of a body that could not be read because of `cause`."""
    if isinstance(cause, BudgetExceeded):
        reason = (
            f"{document.at(offset)} the body goes beyond the limit of its {cause}, which is "
            f"[{cause.most}]"
        )
        return XContentParseFailed(reason).of_limit(str(cause))
    return XContentParseFailed(f"{document.at(offset)} {problem}")
