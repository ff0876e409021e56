"""``leuda bench``: the same data, segmenter, budget and metrics for every method, and a table of the results.

``plan`` lists the runs, ``trainer`` trains one, ``runner`` does them all, ``store`` keeps what they measured,
``results`` averages it, ``table`` and ``page`` show it.
"""
