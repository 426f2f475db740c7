"""SMTP: the protocol without I/O, a blocking driver over it, and the provider ``smtp``.

``open.py`` opens an authenticated session (``handshake.py``, ``sasl.py``), ``session.py`` sends on it: ``protocol.py``
(bytes in, events out), ``transaction.py`` (one message), ``pipeline.py`` and ``writer.py`` (several in flight) over
``connection.py``. ``provider.py`` and ``fields.py`` have the settings, ``replies.py``, ``rules.py`` and ``hints.py``
what refusals mean.
"""
