"""What mail servers write when they refuse, in files by subject: ``access`` (network, encryption, dialogue), ``login``,
``limits`` (and accounts that may not send), ``sender``, ``recipient``, ``message``, ``translations``; ``topics`` and
``topics_mail``, which are asked last. ``vocabulary`` has words that several of them name.

Start with ``refusals.py``, which puts them in order. How a phrase reads stands in ``diagnosis/phrases.py``; what is
told about a code, in ``texts/``. The words of Google and Microsoft are not here but with their provider.
"""
