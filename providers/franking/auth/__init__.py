"""Secrets: what they are, where they lie, where they come from, and how a token is kept fresh.

``secret.py`` has the values (password, grant), ``token.py`` renews, ``store.py`` keeps (``encryption.py`` encrypts the
file), ``sources.py`` finds an account's secret, ``status.py`` tells about it, ``redirect.py`` is the sign-in's listener
on loopback. How a provider signs in is in its own ``login.py``.
"""
