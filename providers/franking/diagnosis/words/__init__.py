"""What mail servers write when they refuse, in seven files by subject: ``access`` (network, encryption, dialogue),
``login``, ``limits`` (and accounts that may not send), ``sender``, ``recipient``, ``message``; and ``topics``, which
is asked last.

Start with ``refusals.py``, which puts them in order. How a phrase reads stands in ``diagnosis/phrases.py``; what is
told about a code, in ``texts/``. The words of Google and Microsoft are not here but with their provider.
"""
