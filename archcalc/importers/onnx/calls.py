"""Which submodules are called again: files hold what each call runs, one after the other, and nothing says so.

A submodule's visits are the operations in it that follow each other. One that reads again what an earlier visit of the
same submodule read, and nothing else that is learned, is another call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archcalc.importers.operations.exported import Operation, Stored


def with_calls(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """Operations whose innermost submodules say which call they are of, with the same said of those around them."""
    around = [list(operation.around) for operation in operations]
    deepest = max((len(each) for each in around), default=0)
    for depth in range(deepest):
        calls: dict[str, int] = {}
        for visit in _visits(operations, depth):
            path = operations[visit[0]].around[depth].path
            own = [operations[place].around[-1].call for place in visit if _reads_learned(operations[place])]
            again = bool(own) and all(own)
            calls[path] = calls.get(path, -1) + 1 if again or path not in calls else calls[path]
            for place in visit:
                around[place][depth] = around[place][depth]._replace(call=calls[path] if again else 0)
    return tuple(
        operation.within(tuple(each)) if tuple(each) != operation.around else operation
        for operation, each in zip(operations, around, strict=True)
    )


def _visits(operations: Sequence[Operation], depth: int) -> Iterator[list[int]]:
    """The operations of each visit of the submodules at a depth; reading the same again begins another one."""
    begun: list[int] = []
    for place, operation in enumerate(operations):
        path = operation.around[depth].path if len(operation.around) > depth else None
        if begun and (path != operations[begun[0]].around[depth].path or _is_later(operations, begun, operation)):
            yield begun
            begun = []
        if path is not None:
            begun.append(place)
    if begun:
        yield begun


def _is_later(operations: Sequence[Operation], begun: Sequence[int], operation: Operation) -> bool:
    """Whether an operation is of a later call than those that read what is learned in this visit."""
    before = [operations[place].around[-1].call for place in begun if _reads_learned(operations[place])]
    return bool(before) and _reads_learned(operation) and operation.around[-1].call > max(before)


def _reads_learned(operation: Operation) -> bool:
    return any(isinstance(each, Stored) and each.learned for each in operation.arguments)
