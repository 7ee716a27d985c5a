"""Graph → PyTorch: the same network as modules that really run, so that every number can be checked against them."""
