"""Pictures of a run's figures: what they show is decided here without drawing, so that it can be checked without it."""
