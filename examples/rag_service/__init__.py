"""A retrieval-augmented question answering service, traced with tracecore's public API only.

It answers questions about the Python that is installed on this machine, from the docstrings of its standard library
and the descriptions of its packages. Nothing is downloaded and nothing is faked: the embedding, the search, the prompt
and the answer are computed for each request.
"""
