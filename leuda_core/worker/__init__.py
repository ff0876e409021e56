"""The warm worker: a process that keeps torch and a model loaded, and segments what it is asked to.

``python -m leuda_core.worker`` reads requests from standard input and writes events to standard output, one JSON
object a line; docs/ARCHITECTURE.md has the protocol. It ends when its standard input does.
"""
