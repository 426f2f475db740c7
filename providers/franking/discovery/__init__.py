"""Discovery: which provider and which settings a host or an address needs, with the evidence.

Open ``recommend.py`` first; ``recommendation.py`` is its result, ``input.py`` reads what a person typed, ``lookup.py``
asks DNS and autoconfiguration, ``probe.py`` tries ports. Known servers are in ``smtp/services.py``.
"""
