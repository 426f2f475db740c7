"""What receivers look at before they trust mail from a domain: SPF, DKIM and DMARC in DNS, read and judged.

Open ``../domain_check.py`` first, which asks and decides; here each subject has a file: ``spf_record.py`` reads a
record, ``spf.py`` follows it, ``dkim.py`` and ``dmarc.py`` read theirs (``tags.py``), ``questions.py`` asks DNS,
``findings.py`` is what is found, with its words. Who sends for a domain is a fact of the provider or service
(``provider.SenderFacts``).
"""
