"""Numbers as people read them; exact unless the name says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from archcalc.symbolic import Dim, is_symbolic

_SUFFIXES = ("", "K", "M", "G", "T", "P", "E")


def exact(value: Any) -> str:
    """Every digit, in groups of three; an expression as SymPy reads it.

    >>> exact(15470264320)
    '15,470,264,320'
    """
    return f"{value:,}" if isinstance(value, int) else str(value)


def short(value: int, digits: int = 2) -> str:
    """The first few digits and K, M or G (powers of 1000), as slides print numbers; below 1000 it's exact.

    >>> short(3211264), short(802816), short(138344128, digits=3), short(980)
    ('3.2M', '800K', '138M', '980')
    """
    if value < 1000:
        return str(value)
    cut = 10 ** (len(str(value)) - digits)
    rounded = (2 * value + cut) // (2 * cut) * cut if cut > 1 else value
    power = min((len(str(rounded)) - 1) // 3, len(_SUFFIXES) - 1)
    text = decimal(rounded, 1000**power, max(digits - 1, 1))
    return text.rstrip("0").rstrip(".") + _SUFFIXES[power]


def decimal(value: int, unit: int, places: int = 2) -> str:
    """`value / unit`, rounded half up; in integers, so that no size is too large.

    >>> decimal(60950432, 10**6)
    '60.95'
    """
    scale = 10**places
    parts = (2 * value * scale + unit) // (2 * unit)
    return f"{parts // scale:,}.{parts % scale:0{places}}" if places else f"{parts:,}"


def memory(amount: Any) -> str:
    """Bytes in MB (10^6) and MiB (2^20); small amounts in kB and KiB.

    >>> memory(60950432)
    '60.95 MB (58.13 MiB)'
    """
    if is_symbolic(amount):
        return f"{amount} bytes"
    if amount < 1000:
        return f"{amount} bytes"
    if amount < 100_000:
        return f"{decimal(amount, 10**3)} kB ({decimal(amount, 2**10)} KiB)"
    return f"{decimal(amount, 10**6)} MB ({decimal(amount, 2**20)} MiB)"


def times(ratio: Fraction | None) -> str:
    """A ratio with three digits.

    >>> times(Fraction(1, 3)), times(Fraction(11, 10)), times(Fraction(24690, 20)), times(None)
    ('0.333x', '1.10x', '1,235x', '')
    """
    if ratio is None:
        return ""
    places = 3 - min(3, len(str(int(ratio))) if ratio >= 1 else 0)
    return f"{decimal(ratio.numerator, ratio.denominator, places)}x"


def percent(share: Fraction | float, places: int = 1, *, whole: bool = False) -> str:
    """A share as a percentage; `whole` leaves out decimals where they are 0.

    >>> percent(Fraction(1, 3)), percent(1.0), percent(1.0, whole=True)
    ('33.3 %', '100.0 %', '100 %')
    """
    above, below = share.as_integer_ratio()
    text = decimal(100 * above, below, places)
    return f"{text.removesuffix(f'.{0:0{places}}') if whole else text} %"


def signed(amount: Dim | None) -> str:
    """A difference with its sign; nothing where there is none.

    >>> signed(1234), signed(-5), signed(0)
    ('+1,234', '-5', '0')
    """
    if amount is None:
        return ""
    return str(amount) if is_symbolic(amount) or amount == 0 else f"{amount:+,}"


def number(value: Any) -> str:
    """A number as people read it: halves and other short fractions as decimals, the rest as they are.

    >>> number(Fraction(31, 2)), number(Fraction(1, 3)), number(7), number(None)
    ('15.5', '1/3', '7', '-')
    """
    if value is None:
        return "-"
    denominator = getattr(value, "denominator", 1)
    if isinstance(denominator, int) and denominator in (2, 4, 8):
        return str(float(value))
    return str(value)


def sides(values: Sequence[Any]) -> str:
    """One text for all axes: 7, or 7x1 where they differ.

    >>> sides([7, 7]), sides([7, 1]), sides([])
    ('7', '7x1', '-')
    """
    texts = list(map(number, values)) or ["-"]
    return texts[0] if len(set(texts)) == 1 else "x".join(texts)
