"""Many messages from a file: the input, the journal of what was sent, the progress. The command is
``commands/send_many.py``.
"""
