"""Everything that is wrong with specs, for people, editors and GitHub."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from archcalc.errors import Diagnostic, SpecError, UsageError
from archcalc.expand import Given, Sizes, build, heeded
from archcalc.expand.given import mapping_of
from archcalc.expand.overrides import flat
from archcalc.graph import MAX_LAYERS, Graph
from archcalc.questions.contradictions import claim_findings
from archcalc.questions.findings import Checked, Findings
from archcalc.questions.judging import Reports
from archcalc.questions.networks import names_of, refuse_both
from archcalc.questions.subjects import InFolder, Named, OnError, answered, folder_of, subject_of
from archcalc.symbolic import is_symbolic
from archcalc.work import spend
from archcalc.zoo import Architecture


def check(
    *networks: Named, hparams: Mapping[str, Given] | None = None, symbolic: str | Iterable[str] = (),
    specs: str | PathLike[str] | None = None, on_error: OnError = None, against: Named | None = None,
    sizes: Sizes | None = None, weights: str | PathLike[str] | None = None, ignore: Iterable[str] = (),
) -> Findings:  # fmt: skip
    """Find all errors and warnings of specs, in all of their variants.

    A spec's own name and its path mean all of its variants, other names and architectures one. A folder stands for all
    of its specs, and no network for those of the folder `specs`, by default the zoo; names are looked up there, too.
    Claims are judged only with the spec's own hparams. With `symbolic`, sizes that stay open, the answer says for which
    sizes a network works, too.
    `against` is a spec that says what the networks must be, with these `hparams` and `sizes`: then each is compared
    with it, layer by layer, whatever its scopes are called. Code that builds one is traced with the spec's input.
    `weights` is a checkpoint: a safetensors or GGUF file, the index of several, or their folder. Its header is compared
    with the networks: each tensor has to be one of theirs, but for those whose names fit `ignore` (`*.attn.bias`).
    With `on_error`, which is called with them, names that mean nothing don't keep the others from being checked.
    Raises: UsageError: there is no such name, it's a graph, or an hparam or size is unknown, or given and open.

    >>> import archcalc
    >>> archcalc.check("vgg").ok
    True
    >>> archcalc.check("unet", symbolic="H,W").specs[0].conditions
    ('works if H >= 188', 'works if W >= 188')
    """
    names, given = names_of(symbolic), flat(mapping_of(hparams, "hparams"))
    refuse_both(given, names)
    if weights is not None:
        from archcalc.questions.weights import holding  # few checks do

        if against is not None or names or not networks:
            raise UsageError("a checkpoint is compared with networks that have numbers", "check('net.yaml', weights=…)")
        return Findings(answered(holding(weights, ignore, given, sizes), networks, specs, on_error))
    if against is not None:
        from archcalc.questions.against import held_to  # few checks compare

        if names or not networks:
            raise UsageError(
                "what a network must be has numbers", "name the network and the spec, and leave symbols out"
            )
        return Findings(answered(held_to(against, given, sizes, folder_of(specs)), networks, specs, on_error))
    if sizes:
        raise UsageError("sizes are for comparisons, with a spec or a checkpoint", "against='net.yaml'")
    return Findings(answered(partial(_checked, given=given, names=names), networks, specs, on_error))


def _checked(named: Named | InFolder, folder: Path | None, given: Mapping[str, Given], names: Sequence[str]) -> Checked:
    """Check one spec."""
    if isinstance(named, str) and os.path.isfile(named):
        named = Path(named)
    try:
        subject = subject_of(named, folder)
    except SpecError as error:
        name = named.file if isinstance(named, InFolder) else named
        return Checked(str(name), 0, error.diagnostics)
    reports, found = Reports(subject.spec), dict[Any, Diagnostic]()
    conditions: dict[str, None] = {}
    built = 0
    followed: set[str] = set()
    for variant in subject.variants:
        fitting = heeded(subject.spec, variant, given)
        followed |= fitting.keys()
        if variant == subject.variants[-1]:  # what none of them has is an error
            fitting |= {name: value for name, value in given.items() if name not in followed}
        try:
            graph, sizes = _built(reports, variant, fitting, names, len(subject.variants) > 1)
            spend(8 * min(graph.tree.body.size, MAX_LAYERS) if built else 0, "building every variant")
            conditions.update(dict.fromkeys(sizes))
            diagnostics = graph.warnings
            built += 1
        except SpecError as error:
            diagnostics = error.diagnostics
        for diagnostic in diagnostics:  # what is wrong in several variants is reported once
            found.setdefault(_identity(diagnostic), diagnostic)
    if not names and not given:  # the claims are about the spec as it stands
        found.update((_identity(each), each) for each in claim_findings(subject.spec, subject.variants, reports))
    return Checked(subject.name, built, tuple(sorted(found.values(), key=_place)), tuple(conditions))


def _built(
    reports: Reports, variant: str, given: Mapping[str, Given], names: Sequence[str], several: bool
) -> tuple[Graph, Iterable[str]]:
    """The graph of one variant, and for which sizes it works, if some are open."""
    if not names and not given:
        return reports.of(variant, {}).graph, ()
    if not names and not any(is_symbolic(value) or value == "sym" for value in given.values()):
        return build(reports.spec, variant, given), ()
    from archcalc.formulas.symbols import explained, opened

    graph = opened(Architecture(reports.spec, variant), names, given).graph
    return graph, explained(graph, variant if several else "")


def _identity(diagnostic: Diagnostic) -> Any:
    return diagnostic.code, diagnostic.message, diagnostic.mark


def _place(diagnostic: Diagnostic) -> tuple[str, int, int]:
    mark = diagnostic.mark
    return (mark.file, mark.line, mark.column) if mark else ("", 0, 0)
