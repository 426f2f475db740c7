"""A shop that confirms orders by mail with the account "shop": ``uvicorn app:app``, then POST {"to": "you@example.com"}
to /orders/.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

import franking
from franking import aio


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with aio.connect("shop", connections=2) as app.state.mailer:
        yield


app = FastAPI(lifespan=lifespan)


class Order(BaseModel):
    to: str


@app.post("/orders/")
async def order(order: Order, request: Request) -> dict[str, str]:
    mailer: aio.AsyncMailer = request.app.state.mailer
    receipt = await mailer.send(franking.Message(to=order.to, subject="Your order", text="Thank you for your order."))
    return {"sent": receipt.message_id}


@app.exception_handler(franking.MessageError)  # a wrong address, as a rule
async def wrong(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 400)


@app.exception_handler(franking.SendError)
async def undelivered(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, franking.SendError)
    return JSONResponse({"error": str(error), "again": error.temporary and not error.possibly_sent}, 503)
