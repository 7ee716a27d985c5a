"""What a PyTorch module ran, operation by operation, lifted to layers."""
