"""One page: it confirms an order by mail."""

from django.core.mail import EmailMultiAlternatives
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

import franking


@csrf_exempt
def order(request: HttpRequest) -> JsonResponse:
    message = EmailMultiAlternatives("Your order", "Thank you for your order.", to=[request.POST["to"]])
    message.attach_alternative("<p>Thank you for your order.</p>", "text/html")
    message.attach("invoice.txt", "114,00 Kč", "text/plain")
    try:
        message.send()
    except franking.MessageError as problem:  # a wrong address, as a rule
        return JsonResponse({"error": str(problem)}, status=400)
    except franking.SendError as problem:
        return JsonResponse(
            {"error": str(problem), "again": problem.temporary and not problem.possibly_sent}, status=503
        )
    return JsonResponse({"sent": True})


urlpatterns = [path("orders/", order)]
