"""The CPU kernels in C++: built on first use (``build``), one autograd node (``sequence``)."""
