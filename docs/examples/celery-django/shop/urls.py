"""One page: it confirms an order by mail, and never waits for a mail server."""

from django.core.mail import EmailMultiAlternatives
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

import franking


@csrf_exempt
def order(request: HttpRequest) -> JsonResponse:
    message = EmailMultiAlternatives("Your order", "Thank you for your order.", to=[request.POST["to"]])
    message.attach_alternative("<p>Thank you for your order.</p>", "text/html")
    try:
        message.send()  # in a transaction: transaction.on_commit(message.send)
    except franking.MessageError as problem:  # a wrong address, as a rule
        return JsonResponse({"error": str(problem)}, status=400)
    except franking.SendError as problem:  # the broker is away
        return JsonResponse({"error": str(problem)}, status=503)
    return JsonResponse({"handed_over": True})


urlpatterns = [path("orders/", order)]
