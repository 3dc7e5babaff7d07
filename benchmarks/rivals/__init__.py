"""What one would use instead, one adapter a file. A rival that is not installed is reported, not left out."""
