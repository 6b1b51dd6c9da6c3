"""Sums as people write them, by simpleeval with nothing but numbers let in."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from typing import Any

from antiphon_contracts import ConfigError
from antiphon_runtime.extras import install_command

from antiphon_tools.tool import ToolError

MAX_CHARS = 200

_MAX_MAGNITUDE = 1e100
_MAX_ROUND_DIGITS = 15
_EXACT = 2**53  # beyond this, whole numbers are not exact in JSON's readers
_SIGNIFICANT_DIGITS = 12
_ALLOWED = re.compile(r"[0-9A-Za-z_.,+\-*/%() ]*")
_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "π": "pi"})
_NODES = (ast.Expr, ast.Constant, ast.UnaryOp, ast.BinOp, ast.Call, ast.Name)

_NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+)"
_PERCENT = rf"({_NUMBER})\s*%(?!\s*[\d.(A-Za-z])"
_PERCENT_OF = re.compile(rf"({_NUMBER})\s*%\s*of\b")
_PERCENT_MORE = re.compile(rf"(.*[\d)])\s*([+-])\s*{_PERCENT}\s*")
_PERCENT_ALONE = re.compile(_PERCENT)
_THOUSANDS = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?![\d,])")

_NOT_UNDERSTOOD = "I do not understand that sum; write it like 12 * (3 + 4)."
_TOO_LARGE = "That number is too large for me."

Number = int | float


def evaluate(expression: str) -> Number:
    """Return what an expression comes to, rounded to 12 significant digits.

    It takes + - * / // % ** and ^, parentheses, sqrt, round, abs, min, max, pi and e. A percent
    sign means what it does on a pocket calculator: `15% of 80` is 12, `80 + 10%` is 88, `10%` is
    0.1; between two numbers it is the remainder.

    Raises:
        ToolError: it is no such expression, divides by zero, or passes 1e100 on its way.
        ConfigError: simpleeval is not installed.
    """
    try:
        from simpleeval import InvalidExpression, SimpleEval
    except ImportError as error:
        msg = f"simpleeval is not installed: {install_command('tools')}"
        raise ConfigError(msg) from error
    evaluator = SimpleEval(operators=_OPERATORS, functions=_FUNCTIONS, names=_NAMES)
    evaluator.nodes = {kind: evaluator.nodes[kind] for kind in _NODES}
    try:
        return _rounded(_checked(evaluator.eval(_normal(expression))))
    except ZeroDivisionError:
        msg = "I cannot divide by zero."
        raise ToolError(msg) from None
    except OverflowError:
        raise ToolError(_TOO_LARGE) from None
    except (InvalidExpression, SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise ToolError(_NOT_UNDERSTOOD, code="bad_arguments") from None


def _normal(expression: str) -> str:
    """Return the expression in Python's spelling.

    Raises:
        ToolError: it is too long, or holds what no sum holds.
    """
    text = expression.translate(_SIGNS).replace("^", "**").strip(" \t\n=?")
    if len(text) > MAX_CHARS or not _ALLOWED.fullmatch(text):
        raise ToolError(_NOT_UNDERSTOOD, code="bad_arguments")
    if not re.search(r"(min|max|round)\s*\(", text):
        text = _THOUSANDS.sub(lambda found: found[0].replace(",", ""), text)
    text = _PERCENT_OF.sub(r"(\1/100)*", text)
    more = _PERCENT_MORE.fullmatch(text)
    if more and more[1].count("(") == more[1].count(")"):
        text = f"({more[1]})*(1{more[2]}{more[3]}/100)"
    return _PERCENT_ALONE.sub(r"(\1/100)", text)


def _rounded(value: Number) -> Number:
    if isinstance(value, int) and abs(value) < _EXACT:
        return value
    rounded = float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < _EXACT else rounded


def _checked(value: object) -> Number:
    """Return the value if it is a real number of bearable size.

    Raises:
        TypeError: it is no real number.
        OverflowError: it is too large.
    """
    if isinstance(value, complex):
        msg = "That has no answer among the real numbers."
        raise ToolError(msg)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    if not abs(value) <= _MAX_MAGNITUDE:  # NaN as well
        raise OverflowError
    return value


def _guarded(function: Callable[..., Any]) -> Callable[..., Number]:
    """Return the function with what goes in and what comes out checked."""
    return lambda *values: _checked(function(*map(_checked, values)))


def _power(base: Number, exponent: Number) -> Any:
    # Looked at before it is computed: 9**9**9 would take hours and gigabytes.
    if abs(base) > 1 and exponent * math.log10(abs(base)) > math.log10(_MAX_MAGNITUDE):
        raise OverflowError
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
        return base**exponent
    return float(base) ** exponent


def _round(value: Number, digits: Number = 0) -> Number:
    if not isinstance(digits, int) or abs(digits) > _MAX_ROUND_DIGITS:
        raise ValueError
    return round(value, digits)


def _sqrt(value: Number) -> float:
    if value < 0:
        msg = "A negative number has no real square root."
        raise ToolError(msg)
    return math.sqrt(value)


_OPERATORS = {
    ast.Add: _guarded(operator.add),
    ast.Sub: _guarded(operator.sub),
    ast.Mult: _guarded(operator.mul),
    ast.Div: _guarded(operator.truediv),
    ast.FloorDiv: _guarded(operator.floordiv),
    ast.Mod: _guarded(operator.mod),
    ast.Pow: _guarded(_power),
    ast.USub: _guarded(operator.neg),
    ast.UAdd: _guarded(operator.pos),
}
_FUNCTIONS = {
    "sqrt": _guarded(_sqrt),
    "round": _guarded(_round),
    "abs": _guarded(abs),
    "min": _guarded(min),
    "max": _guarded(max),
}
_NAMES = {"pi": math.pi, "e": math.e}
