"""What the machine could do, and what of it each way of computing reaches."""
