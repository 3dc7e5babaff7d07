"""Designs that lost, kept runnable with their numbers, so that nobody has to lose with them again."""
