"""Reading settings out of maps, so that all problems are reported at once.

Source: ServiceUtils and ModelConfigurations, which fix the texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from proxy.ground.errors import IllegalArgument, StatusError, ValidationFailed
from proxy.ground.masking import shown_value
from proxy.xcontent.javatext import java_text
from proxy.xcontent.values import MAX_INT, MAX_LONG, Json

T = TypeVar("T")


class Problems:
    """What is wrong with a body."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def add(self, problem: str) -> None:
        self._found.append(problem)

    def raise_if_any(self) -> None:
        """Raises: ValidationFailed, its problems numbered in the order in which they were added."""
        if self._found:
            raise ValidationFailed(self._found)


class Fields:
    """A map of settings; `scope` is its name in texts.

    Each `take_` removes a key, so what is left over at the end is unknown. A value that is missing
    or null is read as None; a bad one is added to the problems and read as None, too.
    Source: ServiceUtils.extractRequiredString and its siblings.
    """

    def __init__(self, values: Mapping[str, Any], scope: str, problems: Problems) -> None:
        self._values = dict(values)
        self._scope = scope
        self.problems = problems

    @property
    def left_over(self) -> Json:
        """The settings that have not been taken."""
        return self._values

    def take(self, name: str) -> Any:
        """The value, whatever its type."""
        return self._values.pop(name, None)

    def take_str(self, name: str) -> str | None:
        """A string that is not empty."""
        value = self.take_typed(name, str, "String")
        if value == "":
            self.problems.add(
                f"[{self._scope}] Invalid value empty string. [{name}] must be a non-empty string"
            )
            return None
        return value

    def take_required_str(self, name: str) -> str:
        """A string that must be there; the empty string when there was a problem with it."""
        return "" if self._lacks(name) else self.take_str(name) or ""

    def take_enum(self, name: str, allowed: Sequence[str]) -> str | None:
        """One of the `allowed` strings; spaces around it and its letter case do not matter."""
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
        """A 32-bit integer of 1 or more."""
        if required and self._lacks(name):
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

    def take_map(self, name: str) -> Fields | None:
        """A nested map. Raises: IllegalArgument for any other value but null."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            # Elasticsearch answers 500 with a class_cast_exception.
            raise IllegalArgument(wrong_type(name, value, "Map"))
        return Fields(value, name, self.problems)

    def take_typed(
        self,
        name: str,
        kind: type[T],
        java_name: str,
        fits: Callable[[T], bool] | None = None,
    ) -> T | None:
        """A value of exactly this type, which `java_name` is in texts."""
        value = self.take(name)
        if value is None:
            return None
        # `type`, not isinstance: True is an int, too.
        if type(value) is not kind or (fits is not None and not fits(value)):
            self.problems.add(wrong_type(name, value, java_name))
            return None
        return value

    def _lacks(self, name: str) -> bool:
        """Whether a required setting is missing or null, which is a problem."""
        if self._values.get(name) is not None:
            return False
        self._values.pop(name, None)
        self.problems.add(f"[{self._scope}] does not contain the required setting [{name}]")
        return True


def wrong_type(name: str, value: Any, java_name: str) -> str:
    """Elasticsearch's text for a setting of the wrong JSON type."""
    return (
        f"field [{name}] is not of the expected type. The value [{java_text(value, name)}] "
        f"cannot be converted to a [{java_name}]"
    )


def _is_int32(value: int) -> bool:
    return -MAX_INT - 1 <= value <= MAX_INT


def refuse_unknown(left_over: Mapping[str, Any], service: str) -> None:
    """Raises: StatusError 400 that names the settings left over, if there are any."""
    if left_over:
        raise StatusError(
            400,
            f"Configuration contains settings [{java_text(dict(left_over))}] unknown to the "
            f"[{service}] service",
        )
