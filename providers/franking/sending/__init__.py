"""Sending: from a message to a receipt, with recovery, many at once, and the test-send.

Open ``mailer.py`` first: the path that every message takes. ``pool.py`` hands sessions to threads, ``bulk.py`` sends
many (``queue.py`` says what leaves when, ``retry.py`` decides what an attempt leads to), ``explain.py`` turns evidence
into a diagnosis, ``testsend.py`` proves that an account works. How a provider sends is in its own folder.
"""
