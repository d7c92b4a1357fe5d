"""Operations that could make something huge in one step, judged before they do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from .limits import Limits

Stop = Callable[[str, str], NoReturn]
"""End the run: the name of the limit, and a sentence."""

_SIZED = frozenset({str, list, tuple})


def public(owner: str, *functions: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """Functions by their names. Programs may hold them: what Python says of them names nothing of ours."""
    for function in functions:
        function.__module__, function.__qualname__ = "builtins", owner + function.__name__
    return {function.__name__: function for function in functions}


class Sizes:
    """Arithmetic within the limits of a run; beyond them, `stop` ends it.

    Args:
        limits: bits of integers, lengths of sequences.
        stop: ends the run; it does not return.
    """

    def __init__(self, limits: Limits, stop: Stop) -> None:
        self.bits = limits.integer
        self.length = limits.sequence
        self._stop = stop

    def too_big(self) -> NoReturn:
        self._stop("integer", f"an integer of more than {self.bits} bits")

    def too_long(self) -> NoReturn:
        self._stop("sequence", f"a sequence of more than {self.length} elements")

    def mul(self, left: Any, right: Any) -> Any:
        self._judge_product(left, right)
        return left * right

    def imul(self, left: Any, right: Any) -> Any:
        self._judge_product(left, right)
        left *= right
        return left

    def _judge_product(self, left: Any, right: Any) -> None:
        kind, other = type(left), type(right)
        if kind is float or other is float:
            return
        if kind is int and other is int:
            if left.bit_length() + right.bit_length() > self.bits:
                self.too_big()
        elif kind in _SIZED and other is int:
            if len(left) * right > self.length:
                self.too_long()
        elif other in _SIZED and kind is int and len(right) * left > self.length:
            self.too_long()

    def pow(self, base: Any, exponent: Any, modulus: Any = None) -> Any:
        if modulus is not None:
            return pow(base, exponent, modulus)
        integers = isinstance(base, int) and isinstance(exponent, int)
        if integers and abs(base) > 1 and exponent * (abs(base).bit_length() - 1) > self.bits:
            self.too_big()
        return base**exponent

    def lshift(self, value: Any, count: Any) -> Any:
        if isinstance(value, int) and isinstance(count, int) and value.bit_length() + count > self.bits:
            self.too_big()
        return value << count

    def round(self, number: Any, ndigits: Any = None) -> Any:
        if isinstance(number, int) and isinstance(ndigits, int) and -ndigits > self.bits:
            self.too_big()  # it takes 10 ** -ndigits
        return round(number, ndigits)

    def math(self) -> dict[str, Callable[..., Any]]:
        """What replaces functions of `math`."""

        def factorial(n: Any, /) -> int:
            self._judge_factors(n, n)
            return self._judged(math.factorial(n))

        def comb(n: Any, k: Any, /) -> int:
            if isinstance(n, int) and isinstance(k, int):
                fewest = min(k, n - k)
                self._judge_factors(fewest, n // max(1, fewest))
            return self._judged(math.comb(n, k))

        def perm(n: Any, k: Any = None, /) -> int:
            self._judge_factors(n if k is None else k, n)
            return self._judged(math.perm(n, k))

        def prod(iterable: Iterable[Any], /, *, start: Any = 1) -> Any:
            for item in iterable:
                start = self.mul(start, item)
            return start

        def lcm(*integers: Any) -> int:
            result = 1
            for integer in integers:
                result = self._judged(math.lcm(result, integer))
            return result

        return public("", factorial, comb, perm, prod, lcm)

    def _judge_factors(self, count: Any, size: Any) -> None:
        """Judge a product of so many factors of about that size, generously; the result is judged again."""
        known = isinstance(count, int) and isinstance(size, int)
        if known and count * (size.bit_length() - 1) > 2 * self.bits:
            self.too_big()

    def _judged(self, value: int) -> int:
        if value.bit_length() > self.bits:
            self.too_big()
        return value
