"""Mail that is put down now and delivered later: durable when ``queue`` returns, never lost, never silently doubled.

Open first: ``outbox.py`` (what an application holds), then ``store.py`` (what is written down) and ``runner.py`` (what
delivers). In here is no way to send: a runner hands each message to ``franking.sending``, as everybody does.
"""
