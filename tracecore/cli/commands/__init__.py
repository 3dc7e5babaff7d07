"""The commands, one a file: each turns options into store calls and answers into tables or JSON."""
