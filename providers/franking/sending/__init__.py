"""Sending: from a message to a receipt, with recovery, many at once, and the test-send.

Open ``mailer.py`` first: the path that every message takes. ``pool.py`` hands sessions to threads. Many messages are
``bulk.py``: ``source.py`` draws them, ``queue.py`` says what leaves when, a ``worker.py`` for each connection sends it,
``retry.py`` decides what an attempt leads to; ``failover.py`` lets another account send. ``explain.py`` turns evidence
into a diagnosis, ``testsend.py`` proves that an account works. How a provider sends is in its own folder.
"""
