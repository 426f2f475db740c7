"""Diagnosis: what went wrong, why, and who can mend it.

``diagnosis.py`` is the value with its texts (``texts.py``, ``texts/*.toml``), ``rules.py`` finds the rule that fits the
evidence, ``generic.py`` has the rules of no provider. Every provider has ``rules.py`` of its own.
"""
