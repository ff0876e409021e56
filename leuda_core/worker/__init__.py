"""The worker: a process that keeps torch and a model loaded, and answers requests.

``python -m leuda_core.worker`` reads requests from standard input and writes events to standard output, one JSON
object per line; docs/ARCHITECTURE.md describes the protocol. It ends when its standard input closes.
"""
