"""The settings page in FastAPI: ``uvicorn with_fastapi:app``."""

from fastapi import FastAPI, Request

from franking.web import SettingsPage


def may(request: Request) -> bool:
    return request.headers.get("x-user") == "admin"  # yours: the user who is signed in


app = FastAPI()
app.mount("/settings/mail", SettingsPage(authorize=may, title="E-mail").asgi)
