"""The network: TLS, TCP, HTTP, and the responses of other sides read safely.

``tls.py`` makes the one context, ``tcp.py`` connects, ``http.py`` carries requests and ``http_errors.py`` says what a
failed one means, ``response.py`` bounds a response and takes out what it repeats of our secrets, ``upload.py`` goes on
after a break, ``fetch.py`` gets a document that a stranger may have named, ``deadline.py`` bounds calls that know no
time-out. No provider is here.
"""
