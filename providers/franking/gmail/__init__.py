"""Gmail and Google Workspace.

``facts.py`` and ``provider.py`` say what it is, ``login.py`` signs in through ``issuer.py``, ``send.py`` sends by the
Gmail API through ``client.py``; the SMTP route is ``franking.smtp``. ``client_files.py`` reads Google's JSON,
``rules.py`` explains errors.
"""
