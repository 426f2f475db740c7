"""Health: whether mail can be sent, told before it stops. ``look.py`` is where to begin.

An entry for each account, and one for what belongs to none, each with findings (``finding.py``): ``accounts.py`` asks
mailboxes, ``deadlines.py`` knows what ends when, ``outbox.py`` what waits, ``machine.py`` the rest. ``memory.py`` keeps
what was seen, ``alerts.py`` tells each change once, over ``channels.py``; ``metrics.py`` writes for Prometheus. Nothing
is sent here but alerts by mail, and those by the one path of every message. Whether mail is believed (SPF, DKIM, DMARC)
is another subject.
"""
