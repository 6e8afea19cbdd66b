"""The tables of attacks, and of the replies of the hostile provider; `attacks` fills them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.siege.attacker import Attacker

Run = Callable[["Attacker"], Awaitable[None]]
Reply = Callable[[], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How the proxy is started for an attack, besides what holds for all."""

    flags: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    tls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One way to do harm; `family` is the kind of fault that it is after."""

    family: int
    name: str
    text: str
    run: Run
    setup: Setup
    least: float  # seconds that it needs to do any
    brief: bool  # whether it is among those that the tests run, too


ATTACKS: Final[dict[str, Attack]] = {}
REPLIES: Final[dict[str, Reply]] = {}


def attack(
    family: int,
    *,
    flags: tuple[str, ...] = (),
    settings: Mapping[str, str] | None = None,
    tls: bool = False,
    least: float = 0.0,
    brief: bool = False,
) -> Callable[[Run], Run]:
    """Enter a function into the table; its docstring is shown beside its name."""

    def enter(run: Run) -> Run:
        name = run.__name__.replace("_", "-")
        assert name not in ATTACKS, name
        ATTACKS[name] = Attack(
            family=family,
            name=name,
            text=(run.__doc__ or "").split("\n")[0],
            run=run,
            setup=Setup(flags=flags, settings=settings or {}, tls=tls),
            least=least,
            brief=brief,
        )
        return run

    return enter


def reply(make: Reply) -> Reply:
    """Enter what the hostile provider sends, piece by piece, as a whole answer with its head."""
    assert make.__name__ not in REPLIES, make.__name__
    REPLIES[make.__name__] = make
    return make
