"""One file for each command of ``manage.py``; its name is the command's."""
