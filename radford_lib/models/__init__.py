"""Networks only: what they are and how they start, not how they are trained."""
