"""Volumes and sliding windows: the two ideas that every layer's arithmetic stands on."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from typing import TYPE_CHECKING, Any

from archcalc.data import dataclass
from archcalc.errors import ShapeError
from archcalc.symbolic import (
    Dim,
    ceil_div,
    differ,
    exact,
    exceeds,
    floor_div,
    is_symbolic,
    known,
    maximum,
    minimum,
    prod,
)

AXES = ("R", "T", "C", "D", "H", "W")
"""Every axis a volume can have: regions, tokens, channels (features), depth, height, width. The batch N is implicit."""

BATCH = "N"
"""What the batch is called where it's left open."""

SPATIAL = ("D", "H", "W")


class Shape(Mapping[str, Dim]):
    """A volume's size along each named axis, without the batch; immutable, hashable, kept in the order of `AXES`.

    >>> import archcalc
    >>> archcalc.Shape(H=224, W=224, C=3)
    Shape(C=3, H=224, W=224)
    >>> archcalc.Shape(C=3, H=224, W=224).numel
    150528
    """

    __slots__ = ("_hash", "_sizes")

    R: Dim
    T: Dim
    D: Dim
    H: Dim
    W: Dim

    def __init__(self, **sizes: Dim) -> None:
        self._sizes = {axis: sizes[axis] for axis in AXES if axis in sizes}
        if len(self._sizes) != len(sizes):
            unknown = next(axis for axis in sizes if axis not in AXES)
            raise ShapeError(f"unknown axis '{unknown}'", hint="the axes are " + ", ".join(AXES))
        for axis, size in self._sizes.items():
            if type(size) is not int:
                self._sizes[axis] = exact(size, f"the size of {axis}")
        self._hash = hash(tuple(self._sizes.items()))

    def __getitem__(self, axis: str) -> Dim:
        return self._sizes[axis]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)

    def values(self) -> ValuesView[Dim]:
        """The sizes, in the order of the axes."""
        return self._sizes.values()

    def items(self) -> ItemsView[str, Dim]:
        """Axes and sizes."""
        return self._sizes.items()

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shape) and self._sizes == other._sizes

    def __repr__(self) -> str:
        return f"Shape({', '.join(f'{axis}={size}' for axis, size in self._sizes.items())})"

    if not TYPE_CHECKING:  # who would take any name for an attribute

        def __getattr__(self, axis: str) -> Dim:
            if axis in AXES and axis in self._sizes:  # anything else may be asked before there are sizes, by pickle
                return self._sizes[axis]
            raise AttributeError(axis)

    def __reduce__(self) -> Any:
        return _restored, (self._sizes,)

    @property
    def C(self) -> Dim:
        """Channels or features."""
        if "C" not in self._sizes:
            raise ShapeError(f"the input has no axis C; it is {self}")
        return self._sizes["C"]

    @property
    def spatial(self) -> tuple[str, ...]:
        """The spatial axes that this volume has, in order."""
        return tuple(axis for axis in SPATIAL if axis in self._sizes)

    @property
    def numel(self) -> Dim:
        """How many values the volume holds, batch 1."""
        return prod(self._sizes.values())

    def with_(self, **sizes: Dim) -> Shape:
        """A copy with some sizes replaced or added."""
        return Shape(**{**self._sizes, **sizes})

    def without(self, *axes: str) -> Shape:
        """A copy that lacks the given axes."""
        return Shape(**{axis: size for axis, size in self._sizes.items() if axis not in axes})

    def text(self, layout: Iterable[str] = AXES) -> str:
        """The sizes joined by x, in the order of `layout`: 64x224x224."""
        return "x".join(_factor(self._sizes[axis]) for axis in layout if axis in self._sizes)

    def __str__(self) -> str:
        return f"{self.text()} ({','.join(self._sizes)})"


def _restored(sizes: dict[str, Dim]) -> Shape:
    """A shape from its pickled sizes; its hash depends on the process."""
    return Shape(**sizes)


def _factor(size: Dim) -> str:
    """A size as a factor: a sum needs brackets."""
    return f"({size})" if getattr(size, "is_Add", False) else str(size)


def unequal_axes(a: Shape, b: Shape, axes: Iterable[str]) -> list[str]:
    """Those of `axes` along which two volumes are known to differ, or that only one of them has."""
    return [axis for axis in axes if (axis in a) != (axis in b) or (axis in a and differ(a[axis], b[axis]))]


@dataclass(frozen=True, slots=True)
class Window:
    """A kernel sliding along one axis. Convolution, pooling and receptive fields share this arithmetic."""

    kernel: Dim
    stride: Dim = 1
    dilation: Dim = 1
    before: Dim = 0  # padding on the low side
    after: Dim = 0  # padding on the high side
    ceil: bool = False
    same: bool = False  # padded so that the stride alone decides: `positions` is ⌈size / s⌉

    @classmethod
    def for_same(cls, size: Dim, kernel: Dim, stride: Dim, dilation: Dim) -> Window:
        """The window with TensorFlow's `same` padding, which depends on the input's size; an odd one at the end."""
        out = ceil_div(size, stride)
        total = maximum((out - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
        before = floor_div(total, 2)
        return cls(kernel, stride, dilation, before, total - before, same=True)

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """Kernel, stride, dilation and the padding before, for what needs numbers.

        Raises: UsageError: one of them is symbolic.
        """
        return known(self.kernel), known(self.stride), known(self.dilation), known(self.before)

    @property
    def pads(self) -> tuple[int, int]:
        """The padding before and after, for what needs numbers.

        Raises: UsageError: one of them is symbolic.
        """
        return known(self.before), known(self.after)

    @property
    def extent(self) -> Dim:
        """Input positions from the kernel's first tap to its last: d(k - 1) + 1."""
        return self.dilation * (self.kernel - 1) + 1

    def slack(self, size: Dim) -> Dim:
        """How far the window can travel: size + p_before + p_after - extent."""
        return size + self.before + self.after - self.extent

    def positions(self, size: Dim) -> Dim:
        """⌊slack / s⌋ + 1; in ceil mode ⌈slack / s⌉ + 1, less a window that would start in the padding at the end.

        Raises: ShapeError: the kernel is larger than the padded input.
        Source: Dumoulin & Visin 2016, relationship 15; the ceil rule is PyTorch's (ATen/native/Pool.h).
        """
        if self.same:
            return ceil_div(size, self.stride)
        slack = self.slack(size)
        # in ceil mode the first window may stick out by less than a stride
        if exceeds(0, slack + self.stride - 1 if self.ceil else slack):
            padded = size + self.before + self.after
            raise ShapeError(f"kernel {self.extent} is larger than the padded input {padded}", code="E204")
        if not self.ceil:
            return self.rounded_down(size)
        count = ceil_div(slack, self.stride) + 1
        spare = self.extent - self.after - self.stride
        if not is_symbolic(spare) and spare >= 0:
            return count  # no window can start after the input
        # ceil mode drops a window that starts in the right padding (torch Pool.h)
        return minimum(count, ceil_div(size + self.before, self.stride))

    def rounded_down(self, size: Dim) -> Dim:
        """⌊slack / s⌋ + 1, which is 0 or less where the kernel is larger than the padded input."""
        return floor_div(self.slack(size), self.stride) + 1

    def reads(self, position: int) -> Iterator[int]:
        """The input positions under the kernel's taps at one output position, those in the padding too.

        >>> list(Window(kernel=3, stride=2, dilation=2, before=1).reads(1))
        [1, 3, 5]
        """
        kernel, stride, dilation, before = self.numbers
        first = position * stride - before
        return (first + dilation * tap for tap in range(kernel))

    def read_by(self, outputs: int, size: int) -> int:
        """The positions, of `size`, under the windows at a set of output positions; sets are bits of integers.

        >>> bin(Window(kernel=3, stride=2, before=1).read_by(0b101, 8))
        '0b111011'
        """
        kernel, stride, dilation, before = self.numbers
        spread = outputs if stride == 1 else int(("0" * (stride - 1)).join(f"{outputs:b}"), 2)
        taken = repeated(spread, kernel, dilation)
        moved = taken >> before if before >= 0 else taken << -before
        return moved & ((1 << size) - 1)

    def covers(self, size: Dim) -> bool:
        """Whether each of `size` positions is certainly read from some output position; False if that's unclear."""
        kernel, stride, dilation, before, after = self.kernel, self.stride, self.dilation, self.before, self.after
        if is_symbolic(kernel) or is_symbolic(stride) or is_symbolic(dilation):
            return False
        if self.same:
            return dilation == 1 and stride <= kernel
        if is_symbolic(before) or is_symbolic(after):
            return False
        if is_symbolic(size):
            # the last window starts less than a stride before the last place where it could
            return dilation == 1 and stride <= kernel and before >= 0 and (self.ceil or after >= stride - 1)
        count = known(self.positions(size))
        gapless = stride <= kernel if dilation == 1 else stride == 1 and dilation <= count
        last = (count - 1) * stride - before + dilation * (kernel - 1)
        return gapless and before >= 0 and last >= size - 1

    def misfit(self, size: Dim) -> str:
        """If the stride does not divide the travel, the arithmetic that shows it; else an empty string.

        >>> Window(kernel=11, stride=4).misfit(224)
        '(224 + 2*0 - 11)/4 + 1 = 54.25'
        """
        if self.same:
            return ""
        slack = self.slack(size)
        if is_symbolic(slack) or is_symbolic(self.stride) or slack % self.stride == 0:
            return ""
        padding = f"2*{self.before}" if self.before == self.after else f"{self.before} + {self.after}"
        whole, hundredths = divmod(slack * 100 // self.stride + 100, 100)
        number = f"{whole}.{hundredths:02}".rstrip("0").rstrip(".")
        return f"({size} + {padding} - {self.extent})/{self.stride} + 1 = {number}"


@dataclass(frozen=True, slots=True)
class TransposedWindow(Window):
    """A kernel that spreads every input position over the output, `stride` apart: `Window` with its ends exchanged.

    Output position o sees the inputs i with i*stride + dilation*t = o + before for a tap t of the kernel.
    """

    extra: Dim = 0  # output positions added on the high side

    def span(self, size: Dim) -> Dim:
        """(size - 1)s - p_before - p_after + extent + extra, which may be less than 1."""
        return (size - 1) * self.stride - self.before - self.after + self.extent + self.extra

    def positions(self, size: Dim) -> Dim:
        """`span(size)`.

        Raises: ShapeError: the padding leaves nothing.
        Source: Dumoulin & Visin 2016, relationship 14, with PyTorch's output_padding.
        """
        span = self.span(size)
        if exceeds(1, span):
            raise ShapeError(f"padding {self.before} + {self.after} leaves no output", code="E208")
        return span

    def reads(self, position: int) -> Iterator[int]:
        """The input positions that write to one output position, those beyond the input's ends too.

        >>> list(TransposedWindow(kernel=3, stride=2).reads(2))
        [1, 0]
        """
        kernel, stride, dilation, before = self.numbers
        hits = (position + before - dilation * tap for tap in range(kernel))
        return (hit // stride for hit in hits if hit % stride == 0)

    def read_by(self, outputs: int, size: int) -> int:
        """The positions, of `size`, that write to a set of output positions.

        >>> bin(TransposedWindow(kernel=3, stride=2).read_by(0b100, 8))
        '0b11'
        """
        kernel, stride, dilation, before = self.numbers
        moved = outputs << before if before >= 0 else outputs >> -before
        taken = repeated(moved, kernel, -dilation)
        return int(f"{taken:b}"[::-1][::stride][::-1], 2) & ((1 << size) - 1)

    def covers(self, size: Dim) -> bool:
        """Whether each of `size` positions certainly writes to some output position; False if that's unclear."""
        kernel, stride, dilation, before, span = self.kernel, self.stride, self.dilation, self.before, self.span(size)
        if is_symbolic(kernel) or is_symbolic(stride) or is_symbolic(dilation) or is_symbolic(before):
            return False
        if is_symbolic(size) or is_symbolic(span):
            return False
        tap = max(-(-before // dilation), 0)
        return tap < kernel and (size - 1) * stride + tap * dilation - before < span

    def misfit(self, size: Dim) -> str:  # noqa: ARG002  # the base's signature
        """Nothing: every stride fits."""
        return ""


def repeated(bits: int, times: int, step: int) -> int:
    """A set joined with itself moved on by `step` once, twice … `times - 1` times, in few steps."""
    done = 1
    while done < times:
        more = min(done, times - done)
        bits |= bits << step * more if step >= 0 else bits >> -step * more
        done += more
    return bits
