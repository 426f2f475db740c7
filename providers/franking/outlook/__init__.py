"""Outlook.com and Microsoft 365.

``facts.py`` and ``provider.py`` say what it is, ``login.py`` signs in through ``issuer.py`` (``certificate.py`` without
a person, ``signin_errors.py`` when it fails), ``send.py`` sends by Microsoft Graph through ``client.py``: ``plan.py``
chooses how, ``graph_json.py`` writes JSON, ``upload.py`` carries large attachments. The SMTP route is
``franking.smtp``.
"""
