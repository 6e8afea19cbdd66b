"""Settings read out of maps, with all problems reported at once, in Elasticsearch's texts.

Source: ServiceUtils, ModelConfigurations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from proxy.errors import IllegalArgument, StatusError, ValidationFailed
from proxy.masking import shown_value
from proxy.xcontent.javatext import java_text
from proxy.xcontent.values import MAX_INT, MAX_LONG, Json

T = TypeVar("T")


# Settings


class Problems:
    """Collects what is wrong, to be reported all at once."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def add(self, problem: str) -> None:
        self._found.append(problem)

    def raise_if_any(self) -> None:
        """Raises: ValidationFailed, numbered in the order of discovery."""
        if self._found:
            raise ValidationFailed(self._found)


class Fields:
    """A map of settings. Each `take_` removes its key, so that what is left over is unknown.

    Source: ServiceUtils.extractRequiredString and its siblings, which fix the texts.
    """

    def __init__(self, values: Mapping[str, Any], scope: str, problems: Problems) -> None:
        self._values = dict(values)
        self._scope = scope
        self.problems = problems

    @property
    def left_over(self) -> Json:
        """The settings that nobody took."""
        return self._values

    def take(self, name: str) -> Any:
        """The value as it is, None when missing."""
        return self._values.pop(name, None)

    def take_str(self, name: str) -> str | None:
        """An optional text that is not empty."""
        value = self.take_typed(name, str, "String")
        if value == "":
            self._invalid_empty(name)
            return None
        return value

    def take_required_str(self, name: str) -> str:
        """A text that must be there; an empty one stands for a recorded problem."""
        if self._values.get(name) is None:
            self._values.pop(name, None)
            self._missing(name)
            return ""
        return self.take_str(name) or ""

    def take_enum(self, name: str, allowed: Sequence[str]) -> str | None:
        """An optional text out of `allowed`, trimmed and in any letter case."""
        value = self.take_str(name)
        if value is None:
            return None
        if (found := value.strip().lower()) in allowed:
            return found
        self.problems.add(
            f"[{self._scope}] Invalid value [{shown_value(value, name)}] received. "
            f"[{name}] must be one of [{', '.join(sorted(allowed))}]"
        )
        return None

    def take_bool(self, name: str) -> bool | None:
        return self.take_typed(name, bool, "Boolean")

    def take_list(self, name: str) -> list[Any] | None:
        return self.take_typed(name, list, "List")

    def take_positive_int(self, name: str, *, required: bool = False) -> int | None:
        """An integer of 1 or more; a bad value is recorded and read as None."""
        if required and self._values.get(name) is None:
            self._values.pop(name, None)
            self._missing(name)
            return None
        value = self.take_typed(name, int, "Integer", _is_int32)
        if value is not None and value <= 0:
            self.problems.add(
                f"[{self._scope}] Invalid value [{value}]. [{name}] must be a positive integer"
            )
            return None
        return value

    def take_positive_long(self, name: str) -> int | None:
        """A 64-bit integer of 1 or more."""
        value = self.take(name)
        if value is None:
            return None
        if type(value) is not int or not -MAX_LONG <= value <= MAX_LONG:
            self.problems.add(
                f"field [{name}] is not of one of the expected types. The value "
                f"[{java_text(value, name)}] cannot be converted to one of [Integer, Long]"
            )
            return None
        if value <= 0:
            self.problems.add(
                f"[{self._scope}] Invalid value [{value}]. [{name}] must be a positive long"
            )
            return None
        return value

    def take_map(self, name: str, scope: str | None = None) -> Fields | None:
        """A nested map; anything else but null is refused at once."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            # Elasticsearch answers 500 class_cast_exception here.
            raise IllegalArgument(wrong_type(name, value, "Map"))
        return Fields(value, scope or name, self.problems)

    def take_typed(
        self,
        name: str,
        kind: type[T],
        java_name: str,
        fits: Callable[[T], bool] | None = None,
    ) -> T | None:
        """The value if it is of `kind`; a wrong one is recorded and read as None."""
        value = self.take(name)
        if value is None:
            return None
        # `type`, not isinstance: True is an int, too.
        if type(value) is not kind or (fits is not None and not fits(value)):
            self.problems.add(wrong_type(name, value, java_name))
            return None
        return value

    def _missing(self, name: str) -> None:
        self.problems.add(f"[{self._scope}] does not contain the required setting [{name}]")

    def _invalid_empty(self, name: str) -> None:
        self.problems.add(
            f"[{self._scope}] Invalid value empty string. [{name}] must be a non-empty string"
        )


def wrong_type(name: str, value: Any, java_name: str) -> str:
    """Elasticsearch's text for a setting of the wrong JSON type."""
    return (
        f"field [{name}] is not of the expected type. The value [{java_text(value, name)}] "
        f"cannot be converted to a [{java_name}]"
    )


def _is_int32(value: int) -> bool:
    return -MAX_INT - 1 <= value <= MAX_INT


def refuse_unknown(left_over: Mapping[str, Any], service: str) -> None:
    """Raises: StatusError 400 naming settings that nobody took."""
    if left_over:
        raise StatusError(
            400,
            f"Configuration contains settings [{java_text(dict(left_over))}] unknown to the "
            f"[{service}] service",
        )
