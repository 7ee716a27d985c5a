"""From text to a `Spec`: YAML events, the marked tree, the chain grammar, expressions. Knows no shapes."""
