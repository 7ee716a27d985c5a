"""Networks and answers as pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from archcalc.drawings.diagram import Diagram
from archcalc.drawings.drawable import Drawable
from archcalc.drawings.effective_field import effective_drawing
from archcalc.drawings.plot import AXES, plot
from archcalc.drawings.receptive_field_picture import fields_drawing, position_drawing
from archcalc.errors import UsageError
from archcalc.expand import Given, Sizes
from archcalc.graph import Graph
from archcalc.quantities import listed
from archcalc.questions.effective_field import EffectiveField
from archcalc.questions.networks import Network, report_of
from archcalc.questions.receptive_field import ReceptiveFields
from archcalc.questions.receptive_field_at import PositionField
from archcalc.questions.sweep import Sweep
from archcalc.report import Report
from archcalc.tables.answer import Answer


def draw(
    what: Network | Answer,
    *,
    fold: bool = True,
    depth: int | None = None,
    layers: str | Iterable[str] = (),
    axes: str | Sequence[str] = AXES,
    hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None,
    symbolic: str | Iterable[str] = (),
) -> Drawable:
    """A picture of a network, of receptive fields, or of a sweep, to be shown in a notebook or written to a file.

    Of a network its graph: with `fold` equal blocks in a row are drawn once, scopes below `depth` as one node;
    `hparams` and `sizes` are those of `Architecture.build`, `symbolic` names some that stay open. Of the fields of
    layers those of `layers`, else of the last one in every stage. Of a sweep each configuration is a point, and `axes`
    are two of its columns.
    Raises: UsageError: there is no such name, the depth isn't positive, the answer has no picture, or a layer sees
    nothing. SpecError: the spec is wrong.

    >>> import archcalc
    >>> archcalc.draw("resnet50", depth=1)
    Diagram('resnet50')
    >>> archcalc.draw(archcalc.receptive_field("vgg16"), layers=["conv3", "conv5"]).svg.count("<svg")
    1
    """
    if isinstance(what, ReceptiveFields):
        return fields_drawing(what, listed(layers, "layers", "['conv5']") if layers else ())
    if isinstance(what, PositionField):
        return position_drawing(what)
    if isinstance(what, EffectiveField):
        return effective_drawing(what)
    if isinstance(what, Sweep):
        return plot(what, axes)
    if isinstance(what, Answer) and not isinstance(what, (Graph, Report)):
        raise UsageError(f"{type(what).__name__} has no picture", "networks, receptive fields and sweeps have")
    return Diagram(report_of(what, hparams, sizes, symbolic), fold, depth)
