"""Character classes: from Java's brackets to those of `regex`, version 1.

Source: java.util.regex.Pattern.clazz, range, property.
"""

from __future__ import annotations

from proxy.semantic.javaregex.properties import CASED, PREDEFINED, named_set
from proxy.semantic.javaregex.scanner import Scanner

_DEEPEST = 20  # classes in classes


def literal(code: int) -> str:
    """A character, such that it means itself, in brackets or outside."""
    character = chr(code)
    if character.isascii() and character.isalnum():
        return character
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def either_case(code: int) -> str:
    """An ASCII letter in both cases, for brackets; another character alone."""
    character = chr(code)
    if character.isascii() and character.isalpha():
        return character.lower() + character.upper()
    return literal(code)


def escaped_set(scanner: Scanner, *, ignore_case: bool) -> str | None:
    """The brackets for `\\d`, `\\p{L}` and their like; the backslash has been taken.

    None, and nothing is taken, if another kind of escape comes.
    """
    name = scanner.peek()
    if name and name.lower() in PREDEFINED:
        scanner.at += 1
        negated = "^" if name.isupper() else ""
        return f"[{negated}{PREDEFINED[name.lower()]}]"
    if name not in ("p", "P") or not name:
        return None
    scanner.at += 1
    return _property(scanner, negated=name == "P", ignore_case=ignore_case)


def bracketed(scanner: Scanner, *, ignore_case: bool, depth: int = 0) -> str:
    """A class whose opening bracket has been taken.

    Raises: PatternSyntax.
    """
    if depth > _DEEPEST:
        scanner.fail("Classes nested too deeply")
    negated = "^" if scanner.takes("^") else ""
    operands = [""]
    empty = True  # a bracket that closes nothing is a character
    while True:
        if scanner.ended:
            scanner.fail("Unclosed character class", len(scanner.pattern) - 1)
        if not empty and scanner.takes("]"):
            break
        if scanner.peek(2) == "&&":
            if not operands[-1]:
                scanner.fail("Bad class syntax")
            scanner.at += 2
            operands.append("")
            continue
        operands[-1] += _item(scanner, ignore_case=ignore_case, depth=depth)
        empty = False
    if not operands[-1]:
        scanner.fail("Bad class syntax")
    if len(operands) == 1:
        return f"[{negated}{operands[0]}]"
    return f"[{negated}{'&&'.join(f'[{operand}]' for operand in operands)}]"


def _item(scanner: Scanner, *, ignore_case: bool, depth: int) -> str:
    if scanner.takes("["):
        return bracketed(scanner, ignore_case=ignore_case, depth=depth + 1)
    if scanner.takes("\\"):
        if scanner.takes("Q"):
            quoted = scanner.take_until("\\E")
            if quoted is None:
                scanner.fail("Unclosed character class", len(scanner.pattern) - 1)
            show = either_case if ignore_case else literal
            return "".join(show(ord(character)) for character in quoted)
        if (named := escaped_set(scanner, ignore_case=ignore_case)) is not None:
            return named
        first = _escaped(scanner)
    else:
        first = ord(scanner.take())
    if scanner.peek() != "-" or scanner.peek(2)[1:] in ("", "]", "["):
        return either_case(first) if ignore_case else literal(first)
    scanner.at += 1
    last = _escaped(scanner) if scanner.takes("\\") else ord(scanner.take())
    if last < first:
        scanner.fail("Illegal character range", scanner.at - 1)
    return _range(first, last, ignore_case=ignore_case)


def _escaped(scanner: Scanner) -> int:
    code = scanner.take_escaped_character()
    if code is None:
        scanner.fail("Illegal/unsupported escape sequence")
    return code


def _range(first: int, last: int, *, ignore_case: bool) -> str:
    shown = f"{literal(first)}-{literal(last)}"
    if ignore_case:
        for start, end, shift in ((0x41, 0x5A, 32), (0x61, 0x7A, -32)):
            low, high = max(first, start), min(last, end)
            if low <= high:
                shown += f"{literal(low + shift)}-{literal(high + shift)}"
    return shown


def _property(scanner: Scanner, *, negated: bool, ignore_case: bool) -> str:
    if scanner.takes("{"):
        name = scanner.take_until("}")
        if name is None:
            scanner.fail("Unclosed character family", len(scanner.pattern) - 1)
    else:
        name = scanner.take()
    found = named_set(name)
    if not found:
        scanner.fail(f"Unknown character property name {{{name}}}", scanner.at - 1)
    if ignore_case and found in CASED:
        scanner.fail(f"Property {{{name}}} is not supported where case does not count")
    return f"[{'^' if negated else ''}{found}]"
