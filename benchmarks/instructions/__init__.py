"""Counting instructions instead of time: the same on a busy machine as on a quiet one, and so fit to guard with."""
