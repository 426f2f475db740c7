"""Accounts: who sends, by which provider, with which settings; in code, in a file, in a URL. No secrets are here.

``account.py`` is the value, ``fields.py`` describes its keys, ``config.py`` reads accounts.toml and ``editing.py``
changes it, ``url.py`` reads and writes account URLs. ``environment.py`` names the variables that belong to accounts,
``repair.py`` the commands that mend one.
"""
