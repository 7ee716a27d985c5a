"""What checkpoints hold, read off their headers: names, shapes and types of tensors, none of their values."""
