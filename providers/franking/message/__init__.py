"""Messages: addresses, headers, attachments, and the bytes that leave. Nothing is sent here.

``message.py`` is what a person composes, ``mime.py`` writes it, ``raw.py`` takes what somebody else composed,
``content.py`` is a serialised message that can be read again, ``prepare.py`` makes one of whatever is sent,
``parser.py`` takes one apart (``Parts``). ``address.py``, ``idna.py`` and ``headers.py`` are the parts.
"""
