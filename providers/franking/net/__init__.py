"""The network: TLS, TCP, HTTP, and the answers of other sides read safely.

``tls.py`` makes the one context, ``tcp.py`` connects, ``http.py`` carries requests and ``http_errors.py`` says what a
failed one means, ``response.py`` reads an answer and takes out what it repeats of our secrets. No provider is here.
"""
