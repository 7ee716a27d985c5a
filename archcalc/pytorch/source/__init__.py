"""Writing a graph as a program that does without archcalc."""
