"""Figures as they stand in print: how many digits are there, and which values they can stand for."""

from __future__ import annotations

from fractions import Fraction

from archcalc.data import dataclass

HALF = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Printed:
    """A printed number: its significant digits as an integer, and the unit of the last of them.

    >>> Printed(38, Fraction(10**8)).value  # 3.8G
    Fraction(3800000000, 1)
    """

    digits: int
    step: Fraction

    @property
    def value(self) -> Fraction:
        """The number itself."""
        return self.digits * self.step

    @property
    def least(self) -> Fraction:
        """The least value that rounds to the figure.

        Rounding leaves a value at least its first digit. So 99.7 is 100 in whole numbers, and 960 is 1K, but 600 isn't:
        it has no digit among the thousands, and rounded to its first one it's 600.
        """
        return (self.digits - (HALF / 10 if self.digits == 1 else HALF)) * self.step

    @property
    def end(self) -> Fraction:
        """The least value above the figure that is neither rounded nor cut off to it."""
        return (self.digits + 1) * self.step

    def rounds(self, value: int | Fraction) -> bool:
        """Whether the value, rounded to the place of the last printed digit, is the figure.

        Exactly halfway between two figures both ways of rounding are right: up, and to the even digit.

        >>> [Printed(2, Fraction(1)).rounds(Fraction(halves, 2)) for halves in (2, 3, 4, 5)]
        [False, True, True, True]
        >>> Printed(3, Fraction(1)).rounds(Fraction(7, 2))
        False
        """
        middle = (self.digits + HALF) * self.step
        return self.least <= value < middle or (value == middle and self.digits % 2 == 0)

    def cuts(self, value: int | Fraction) -> bool:
        """Whether the value starts with these digits, but rounds to others.

        >>> Printed(38, Fraction(10**8)).cuts(3_857_973_248)
        True
        """
        return self.value <= value < self.end and not self.rounds(value)

    def shortened(self, digits: int) -> Printed | None:
        """The figure with no more than so many significant digits; None if others than zeros would go.

        >>> Printed(800, Fraction(1000)).shortened(2)
        Printed(digits=80, step=Fraction(10000, 1))
        """
        unit = 10 ** max(len(str(self.digits)) - digits, 0)
        return None if self.digits % unit else Printed(self.digits // unit, self.step * unit)
