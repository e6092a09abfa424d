"""Looking inside trained models: which unit knows what, and where in the input it learns it."""
