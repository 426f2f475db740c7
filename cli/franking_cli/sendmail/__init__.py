"""``franking-sendmail``: sendmail(8)-compatible, an entry point of its own without Typer.

Open ``main.py`` first; ``options.py`` reads the command line, ``deliver.py`` delivers, ``headers.py`` and
``aliases.py`` make old programs' headers fit, ``smtp_server.py`` is ``-bs``, ``exit_codes.py`` the endings.
"""
