"""What a module computes of nothing that enters and nothing that is learned: masks, tables, positions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from archcalc.importers.operations.exported import Entered, Operation, Result, Stored

ELSEWHERE = ("device", "pin_memory")
"""Arguments that say where a tensor is to be: here it's on the CPU."""

FILLED = {"new_zeros": 0, "new_ones": 1, "zeros_like": 0, "ones_like": 1}
"""What tensors are filled with of which only the sizes depend on others."""


class Constants:
    """The values of operands that depend on nothing, each computed once."""

    def __init__(self, operations: Sequence[Operation], buffers: Mapping[str, Any], tokens: Collection[int]) -> None:
        self.operations, self.buffers, self.tokens = operations, buffers, tokens
        self.known: dict[int, Any] = {}

    def value(self, operand: Any) -> Any:
        """The value of an operand; None if it depends on something, or can't be computed."""
        if isinstance(operand, Stored):
            return None if operand.learned else self.buffers.get(operand.name)
        if not isinstance(operand, Result):
            return None
        if operand.operation not in self.known:
            self.known[operand.operation] = self._computed(self.operations[operand.operation])
        found = self.known[operand.operation]
        return found[operand.part] if isinstance(found, (list, tuple)) else found

    def _computed(self, operation: Operation) -> Any:
        """What an operation gives that reads nothing but constants."""
        if (assumed := self._assumed(operation)) is not None:
            return assumed
        read = list(tensors([*operation.arguments, *operation.named.values()]))
        if operation.target is None or any(isinstance(each, Entered) or _is_learned(each) for each in read):
            return None  # found out before a buffer's values are read, which may be in a file
        values = [self.value(each) for each in read]
        if any(value is None for value in values):
            return None
        try:
            return run(operation, dict(zip(read, values, strict=True)))
        except (RuntimeError, TypeError, NotImplementedError, IndexError, ValueError):
            return None  # it takes another device, or values that aren't there

    def _assumed(self, operation: Operation) -> Any:
        """What takes only a size from another tensor.

        Which tokens are one of a kind, such as padding: none, unless it's asked where the first of them is.
        """
        name = operation.name.partition(".")[0]
        if name in FILLED:
            return _filled(operation, FILLED[name])
        if name not in ("eq", "ne") or getattr(operation.arguments[0], "number", None) not in self.tokens:
            return None
        if not isinstance(operation.arguments[1], int) or self._is_sought(operation):
            return None
        import torch

        return torch.full(operation.shape, name == "ne")

    def _is_sought(self, operation: Operation) -> bool:
        """Whether it's asked where something is true."""
        made = Result(next(place for place, each in enumerate(self.operations) if each is operation))
        readers = [each for each in self.operations if each.arguments and each.arguments[0] == made]
        return any(
            each.name.partition(".")[0] in ("argmax", "nonzero", "max", "sort", "topk", "where")
            or (each.name in ("cast", "rounded") and self._is_sought(each))
            for each in readers
        )


def _filled(operation: Operation, value: float) -> Any:
    """A tensor of one value, as large as another one or as is said."""
    import torch

    kind = operation.named.get("dtype") or torch.get_default_dtype()
    return torch.full(operation.shape, value, dtype=kind, device="cpu")


def _is_learned(operand: Any) -> bool:
    return isinstance(operand, Stored) and operand.learned


def tensors(operands: Any) -> Iterator[Any]:
    """All tensors among operands."""
    for operand in operands:
        if isinstance(operand, list):
            yield from tensors(operand)
        elif isinstance(operand, (Result, Entered, Stored)):
            yield operand


def run(operation: Operation, values: Mapping[Any, Any]) -> Any:
    """What an operation gives of such values for the tensors that it reads."""
    import torch

    def there(operand: Any) -> Any:
        if isinstance(operand, list):
            return [there(each) for each in operand]
        if isinstance(operand, torch.device):
            return torch.device("cpu")
        return values[operand] if isinstance(operand, (Result, Entered, Stored)) else operand

    named = {key: there(each) for key, each in operation.named.items() if key not in ELSEWHERE}
    return operation.target(*map(there, operation.arguments), **named)
