"""Loops whose passes change by a law: one pass is built for all, with sizes that are formulas in its number.

What the law is, a few passes show, which are built and taken back again. That it holds, is proved: on what the law says
of pass i', whatever number that is, the pass must return what it says of pass i' + 1. A condition in it must hold in
every pass: where a side of it never gets nearer to the other one, in the first, else in the last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from archcalc.errors import LocalError, UsageError
from archcalc.expand.scope import Scope
from archcalc.shape import Shape
from archcalc.symbolic import Condition, Dim, collecting_conditions, differ, exceeds, indivisible, is_symbolic
from archcalc.symbolic.arithmetic import is_always_positive
from archcalc.symbolic.conditions import collect_again, collected, follows
from archcalc.symbolic.sums import at, has, law, rises

NESTED = 3
"""So many loops in each other may follow laws."""
SHOWN = 6
"""So many volumes are looked at for a law."""


class NoLaw(LocalError):
    """Passes don't follow a law; the message says what doesn't."""


class State:
    """How far building has come, to be taken back to. What building changes only grows, but for counters and such."""

    def __init__(self, builder: Any, scope: Scope) -> None:
        made, blocks = builder.made, builder.blocks
        owners = (made, made.frames[-1], scope, blocks, builder.diagnostics, builder.loops, builder)
        self._known = [(owner, name, _content(value)) for owner in owners for name, value in _attributes(owner)]
        self._reused = [(known, len(known)) for known in (made.applications, blocks.built)]
        self._conditions = list(collected())

    def restore(self) -> None:
        """Take everything back that was built since."""
        for owner, name, content in self._known:
            value = getattr(owner, name)
            if isinstance(value, int):
                setattr(owner, name, content)
            elif isinstance(content, int):
                _shorten(value, content)
            else:
                value.clear()
                value.update(content)
        collected()[:] = self._conditions

    def forget(self) -> None:
        """Forget what has been made since and would be used again: the number of a pass stands in it."""
        for known, length in self._reused:
            _shorten(known, length)


def _attributes(owner: Any) -> Iterator[tuple[str, Any]]:
    """What building changes: numbers and containers. How many passes have been built in all is never taken back."""
    for name in getattr(owner, "__slots__", None) or vars(owner):
        value = getattr(owner, name)
        if isinstance(value, (int, list, dict, set)) and name != "passed":
            yield name, value


def _content(value: Any) -> Any:
    """A number; the length of what only grows; what is in the others."""
    if isinstance(value, (list, dict)) and not isinstance(value, Counter):
        return len(value)
    return value if isinstance(value, int) else value.copy()


def _shorten(value: Any, length: int) -> None:
    while len(value) > length:
        value.pop() if isinstance(value, list) else value.popitem()


def shape_law(shapes: Sequence[Shape], index: Any) -> Shape:
    """The volume that enters pass `index`, given those that enter the first few.

    Raises: NoLaw: a size doesn't follow one that is known.
    """
    found: dict[str, Dim] = {}
    for axis in shapes[0]:
        if any(shape.keys() != shapes[0].keys() for shape in shapes):
            raise NoLaw("the axes change")
        sizes = [shape[axis] for shape in shapes]
        size = law(sizes, index)
        if size is None:
            raise NoLaw(f"{axis} is {', '.join(map(str, sizes))} …, and follows no law that can be summed up")
        found[axis] = size
    try:
        return Shape(**found)
    except UsageError as error:  # SymPy takes a size for a fraction
        raise NoLaw(str(error.args[0])) from None


def check_next(expected: Shape, returned: Shape, index: Any) -> None:
    """See that a pass returns what the law says of the next one.

    Raises: NoLaw: it returns something else.
    """
    for axis in expected:
        following = at(expected[axis], index, index + 1)
        with collecting_conditions() as unknown:
            wrong = axis not in returned or differ(following, at(returned[axis], index, index))  # in the same form
        if wrong or unknown or len(returned) != len(expected):
            raise NoLaw(f"pass {index} takes {expected} and returns {returned}")


def hold_throughout(conditions: Sequence[Condition], index: Any, times: Dim) -> None:
    """Collect what makes conditions in a pass hold in all passes, from 1 to `times`.

    Raises: NoLaw: that can't be said.
    """
    for condition in conditions:
        if index not in condition.symbols and not _is_there(times):
            with collecting_conditions() as there:
                exceeds(1, times)
            if not follows(condition, [*collected(), *there]):
                raise NoLaw(f"the first pass {index} may not be there, and needs {condition}")
        elif index not in condition.symbols:
            collect_again(condition)
        elif not _holds_throughout(condition, index, times):
            raise NoLaw(f"every pass {index} needs {condition}")


def _holds_throughout(condition: Condition, index: Any, times: Dim) -> bool:
    """Whether a condition in which the number of the pass stands could be collected for all of them."""
    sides = (condition.left, condition.right)
    if condition.relation in ("<=", ">="):
        small, large = sides if condition.relation == "<=" else reversed(sides)
        margin = large - small
        more = at(margin, index, index + 1) - margin
        if rises(-more):
            return (_is_there(times) or rises(at(margin, index, 0))) and not exceeds(0, at(margin, index, times))
        first = at(margin, index, 1)
        return rises(more) and (rises(first) or (_is_there(times) and not exceeds(0, first)))
    if condition.relation != "==" or type(condition.left).__name__ != "Mod" or condition.right != 0:
        return False
    value, modulus = condition.left.args  # type: ignore[union-attr]  # it's a remainder
    if has(modulus, index):
        return False
    with collecting_conditions() as unknown:
        wrong = indivisible(at(value, index, index + 1) - value, modulus)
    return not (wrong or unknown) and _is_there(times) and not indivisible(at(value, index, 1), modulus)


def _is_there(times: Dim) -> bool:
    return is_always_positive(times) if is_symbolic(times) else times > 0
