"""Networks that other tools describe, as specs: operations that a PyTorch module runs, and what they are as layers."""
