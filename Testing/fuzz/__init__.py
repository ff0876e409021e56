"""Fuzzing of every reader: damaged inputs are refused with an error of ours, or read; nothing else happens.

``make fuzz`` runs it; ``test_fuzz.py`` is a short part with a fixed seed. A sample is a folder of files, held as a
dictionary from name to content. Everything goes through the public readers and real files.
"""
