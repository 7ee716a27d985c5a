"""What holds for all tests, before any of them is imported."""

import os

# pytest-xdist keeps every core busy: more threads of PyTorch's would only wait for one another, for most of the time
os.environ.setdefault("OMP_NUM_THREADS", "1")
