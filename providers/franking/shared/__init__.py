"""Servers that several machines share: how Redis and PostgreSQL are asked, and what each of their failures means.

Begin with ``redis_server.py`` or ``postgres_server.py``; ``opening.py`` says which one the environment names.
``tables.py`` has the tables of everything that uses PostgreSQL, ``afterwards.py`` what a worker tells and what it holds
for a while, ``failures.py`` the errors. What is kept there is not known here: secrets are ``auth/redis_store.py``'s and
``auth/postgres_store.py``'s.
"""
