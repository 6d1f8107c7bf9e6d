"""The changes, in order; each file is named after what it adds."""
