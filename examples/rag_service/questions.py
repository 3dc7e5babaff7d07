"""What the simulated users ask: questions written by hand, and questions about names that the service serves."""

from __future__ import annotations

from typing import Final

__all__ = ["HAND_WRITTEN", "TEMPLATES"]

HAND_WRITTEN: Final[tuple[tuple[str, str | None], ...]] = (
    ("How do I wait for a future with a timeout?", "asyncio"),
    ("How can I run a blocking function in a thread from asyncio?", "asyncio"),
    ("What happens to the other tasks when gather is cancelled?", "asyncio"),
    ("How do I limit the number of concurrent tasks with a semaphore?", "asyncio"),
    ("How do I shield a task from cancellation?", "asyncio"),
    ("What does an asyncio queue do when it is full?", "asyncio"),
    ("Which function computes the median of data?", None),
    ("How is the sample standard deviation different from the population standard deviation?", "statistics"),
    ("How do I make a temporary directory that is removed afterwards?", None),
    ("How do I iterate over all files that match a pattern?", "pathlib"),
    ("How do I resolve a path to an absolute one?", "pathlib"),
    ("What is the difference between deepcopy and a shallow copy?", "copy"),
    ("How do I sort a list in place?", "builtins"),
    ("How do I split a string at a separator?", "builtins"),
    ("Which method removes a key from a dictionary and returns its value?", "builtins"),
    ("How do I count the occurrences of elements?", "collections"),
    ("What does OrderedDict do when a key is moved to the end?", "collections"),
    ("How do I read a zip archive?", "zipfile"),
    ("How do I extract all members of a tar archive safely?", "tarfile"),
    ("How do I compress data in one go?", None),
    ("How do I write a dictionary to a CSV file?", "csv"),
    ("How do I serialize an object to a JSON string?", "json"),
    ("What does the JSON decoder do with duplicate names?", "json"),
    ("How do I parse a date in ISO format?", "datetime"),
    ("How do I convert a timestamp to UTC?", None),
    ("How do I add an argument to a command line parser?", "argparse"),
    ("How do I rotate log files when they reach a size?", "logging"),
    ("How do I log an exception with its traceback?", "logging"),
    ("How do I open a URL and read the response?", "urllib"),
    ("How do I quote special characters in a URL?", "urllib"),
    ("How do I send an email through an SMTP server?", "smtplib"),
    ("How do I start a child process and capture its output?", "subprocess"),
    ("How do I kill a child process after a timeout?", "subprocess"),
    ("What is a lock that the same thread can acquire again?", "threading"),
    ("How do threads wait for a condition?", "threading"),
    ("How do I share work between processes in a pool?", "multiprocessing"),
    ("How do I cache the results of a function?", "functools"),
    ("How do I group consecutive items of an iterator?", "itertools"),
    ("How do I pair each item with the next one?", "itertools"),
    ("How do I get the signature of a callable?", "inspect"),
    ("How do I load a module from its name?", "importlib"),
    ("How do I compare two sequences and show the difference?", "difflib"),
    ("How do I draw a random sample without replacement?", "random"),
    ("How do I generate a secure token?", "secrets"),
    ("How do I define a data class with a default factory?", "dataclasses"),
    ("How do I make an enumeration with automatic values?", "enum"),
    ("How do I mock a function in a test?", "unittest"),
    ("How do I skip a test?", "unittest"),
    ("What is the greatest common divisor function called?", "math"),
    ("How do I build an ASGI application?", "starlette"),
    ("How do I send an HTTP request asynchronously?", "httpx2"),
    ("Which package gives an async interface to SQLite?", None),
    ("How do I print a table in the terminal?", None),
    ("What is the fastest way to validate and serialize messages?", "msgspec"),
)
"""Questions and the source to ask; a source that is not installed is asked without it."""

TEMPLATES: Final = (
    "What does {name} do?",
    "When should I use {name}?",
    "What does {name} return?",
    "Which arguments does {name} take?",
    "What can go wrong when I call {name}?",
)
