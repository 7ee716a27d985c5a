"""PyTorch on paper: tensors that have sizes and no values, operations on them, and a backward pass."""
