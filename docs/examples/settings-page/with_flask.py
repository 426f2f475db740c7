"""The settings page in Flask: ``flask --app with_flask run``."""

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from franking.web import SettingsPage


def may(environ: dict) -> bool:
    return environ.get("HTTP_X_USER") == "admin"  # yours: the user who is signed in


app = Flask("shop")
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/settings/mail": SettingsPage(authorize=may).wsgi})
