"""Networks in ONNX files: the graph is read and its tensors left where they are; nodes become PyTorch's operations."""
