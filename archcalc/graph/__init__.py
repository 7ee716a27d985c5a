"""The layer graph, its tree, and what they are made of."""

from archcalc.graph.application import FORMULA, Application, Change, Input, Node
from archcalc.graph.composite import Composite, Item, Repeat
from archcalc.graph.graph import Graph, layout_of
from archcalc.graph.tree import MAX_LAYERS, NoNumber, TooManyLayers, Tree

__all__ = [
    "FORMULA",
    "MAX_LAYERS",
    "Application",
    "Change",
    "Composite",
    "Graph",
    "Input",
    "Item",
    "NoNumber",
    "Node",
    "Repeat",
    "TooManyLayers",
    "Tree",
    "layout_of",
]
