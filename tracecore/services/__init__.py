"""Use cases over stores: what a server, a command and a program do with what is kept. Nothing here knows HTTP."""
