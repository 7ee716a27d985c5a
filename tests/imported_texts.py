"""What imports write, word by word: `python -m tests.imported_texts --update` writes it anew, to be read by people."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

import archcalc
from tests.modules import MODULES

TEXTS = Path(__file__).parent / "imported"
NAMES = (
    "resnet", "densenet", "mobile", "mixed", "segmenter", "generator", "vit", "decoder", "siamese", "tagger",
)  # fmt: skip


def written(name: str) -> str:
    """The spec of one of the modules of `tests.modules`."""
    sample = MODULES[name]
    sizes = sample.sizes
    examples = [torch.zeros(2, each).long() if isinstance(each, int) else torch.randn(2, *each) for each in sizes]
    return archcalc.from_torch(sample.build(), examples, name, strict=True).spec.source.text


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="write the files")
    update = parser.parse_args().update
    changed = 0
    for name in NAMES:
        file, text = TEXTS / f"{name}.yaml", written(name)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            changed += 1
            print(text)
            if update:
                file.write_text(text, encoding="utf-8")
    return int(changed and not update)


if __name__ == "__main__":
    sys.exit(main())
