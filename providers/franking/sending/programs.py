"""What programs, libraries and systems write of the network and of TLS, where no server spoke, and what was met then.

One line each: the kind and the reason of the evidence, the step, and a regular expression. The first that is found
decides; what it means, rules decide. ``readings.py`` reads everything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from franking.errors import (
    ConnectError,
    ConnectTimeout,
    Evidence,
    FrankingError,
    LoginError,
    MessageError,
    Refused,
    SettingsError,
    TLSError,
)

__all__ = ["written_by_programs"]

_RESOLVE, _TLS, _CONNECT = ("dns", "resolve"), ("tls", "tls"), ("connect", "connect")
_GREET, _LATER, _LOGIN = ("connect", "greet"), ("connect", "message"), ("sasl", "login")
_SETTINGS, _MESSAGE, _DIALOGUE = ("settings", "settings"), ("message", "message"), ("smtp", "message")

_WRITTEN: tuple[tuple[tuple[str, str], str, str], ...] = (
    # kind and step; the reason, in digits what OpenSSL found wrong with a certificate or an SMTP server replies; words
    # what a program finds by itself, before any server is asked
    (_SETTINGS, "no-password", r"Missing credentials for|no password specified\?|requested but missing \w"),
    (_SETTINGS, "no-password", r"(?:user ?name|password|credentials?) (?:is |are |was )?(?:missing|not set) for smtp"),
    (_MESSAGE, "not-an-address", r"No recipients? (?:addresses|defined|specified|given|were (?:specified|provided))"),
    (_MESSAGE, "not-an-address", r"at least one recipient|A recipient must be specified|no recipients? specified"),
    (_MESSAGE, "not-an-address", r"must have an? \"?(?:From|To)\"?\W|SMTP (?:To|From) address may not be \w"),
    (_MESSAGE, "not-an-address", r"not comply with (?:addr-spec of )?RFC ?\d{3,4}|form required for an e-mail address"),
    (_MESSAGE, "not-an-address", r"AddressException: |ParserException: .{0,60}(?:address|mailbox)|InvalidAddress\b"),
    (_MESSAGE, "not-an-address", r"Invalid address: +\((?:to|cc|bcc|from|reply-to)\)"),
    (_MESSAGE, "not-an-address", r"Invalid e-?mail address (?:format|syntax)"),
    (_MESSAGE, "attachment-unreadable", r"ENOENT\b.{0,80}\bopen\b.{0,400}?(?:ESTREAM|nodemailer)"),
    (_MESSAGE, "attachment-unreadable", r"Could not access file: |FileNotFoundException.{0,200}\(No such file"),
    (_MESSAGE, "attachment-unreadable", r"Path .{1,200} is not readable"),
    (_MESSAGE, "attachment-unreadable", r"attachment\b.{0,80}(?:does not exist|not found|cannot be (?:read|opened))"),
    (_MESSAGE, "not-an-address", r"\bmail: (?:missing '@'|no angle-addr|expected |invalid (?:string|atom)|no address)"),
    (_MESSAGE, "not-an-address", r"AddressList can ?not parse|Missing domain or user|Invalid email (?:user|domain)\b"),
    (
        _MESSAGE,
        "not-an-address",
        r"\b(?:from|to|sender|recipient)(?: address| field)?(?: parameter)? is (?:missing|required|empty|not set)",
    ),
    (_LOGIN, "api-key-wanted", r"basic auth\w*.{0,120}\bAPI key"),
    (_LOGIN, "not-ascii", r"'ascii' codec can't encode.{0,200}(?:login|auth|password|smtplib)"),
    # while something was already connected
    (_DIALOGUE, "unexpected-reply", r"expected (?:response code )?\W?\d{3}\b.{0,40}?\bgot (?:code )?\W?[23]\d\d\b"),
    (_LATER, "timeout", r"read(?: operation)? timed out|ReadTimeout\b|Exception reading response.{0,80}timed out"),
    (_LATER, "timeout", r"unexpectedly closed: (?:the read operation )?timed out|0 bytes received"),
    (_RESOLVE, "no-dns", r"Temporary failure in name resolution|EAI_AGAIN|name service.{0,80}try again"),
    (_RESOLVE, "no-dns", r"server misbehaving|lookup .{0,80}i/o timeout|resolv\w+ timed? ?out|\b11002\b"),
    (_RESOLVE, "no-dns", r"Errno -3\]|SocketException \(\d+, 11\): Resource temporarily"),
    (_RESOLVE, "no-address", r"No address associated with (?:host)?name|ENODATA|\b11004\b"),
    (_RESOLVE, "not-found", r"getaddrinfo failed|ENOTFOUND|Name or service not known|nodename nor servname"),
    (
        _RESOLVE,
        "not-found",
        r"no such host|UnknownHost|(?<!rejected: )host (?:or domain name )?not found|\b11001\b|host is known",
    ),
    (_RESOLVE, "not-found", r"could ?n[o']t (?:be )?resolved? host|unknown host|can(?:no|')t (?:resolve|locate) host"),
    (_RESOLVE, "not-found", r"(?:name|host) could not be (?:resolved|found)"),
    (_RESOLVE, "not-found", r"(?:failed|unable) to resolve (?:host|name|\S+\.)"),
    (_RESOLVE, "no-dns", r"query\w* ETIMEOUT|query\w* (?:EREFUSED|ESERVFAIL)"),
    (_RESOLVE, "not-found", r"nxdomain|find any host named|0x800CCC0D|MX records point to non-existent hosts"),
    (_RESOLVE, "bad-name", r"'idna' codec|label (?:empty )?(?:or )?too long"),
    (
        _RESOLVE,
        "not-found",
        r"server name (?:was |could )?not (?:be )?found|Servername .{0,30}nicht gefunden",
    ),
    (_RESOLVE, "not-found", r"(?:nom du serveur|serveur) .{0,30}introuvable|servidor no encontrado|server non trovato"),
    (_RESOLVE, "not-found", r"server .{0,20}(?:nenalezen|nebyl nalezen)|nie (?:znaleziono|mo.na odnale..) serwera"),
    (_RESOLVE, "not-found", r"NS_ERROR_UNKNOWN_HOST"),
    (_GREET, "not-smtp", r"(?:response|greeting|welcome)\b[^\n]{0,30}?(?:\* (?:OK|PREAUTH|BYE)|\+OK|HTTP/1|SSH-2)"),
    (_GREET, "closed", r"response code \W?220\W? but got (?:code \W{2},|an? empty|empty)"),
    (_LATER, "closed", r"response code \W?\d+\W? but got (?:code \W{2},|an? empty|empty)"),
    (_GREET, "closed", r"port: \d+, response: -1"),
    (_RESOLVE, "not-found", r"Host ist unbekannt|solcher Host bekannt|h.te inconnu|host desconocido|host sconosciuto"),
    (_RESOLVE, "not-found", r"nieznany host|hostitel nen. zn.m|host n.o . conhecido"),
    # the certificate
    (_TLS, "19", r"self[- ]?signed certificate in (?:the )?certificate chain|SELF_SIGNED_CERT_IN_CHAIN"),
    (_TLS, "18", r"certificate is self[- ]?signed|self[- ]?signed certificate|DEPTH_ZERO_SELF_SIGNED_CERT"),
    (_TLS, "9", r"not yet valid: current time \S+ is before|certificate is not (?:yet valid|valid yet)|NotValidYet"),
    (_TLS, "9", r"CERT_NOT_YET_VALID|CertificateNotYetValid|(?:certificate is )?not activated|not_yet_valid"),
    (_TLS, "10", r"certificate (?:has |is |was )?expired|CERT_?(?:ificate)?_?(?:HAS_)?EXPIRED|NotTimeValid"),
    (_TLS, "10", r"validity check failed|NotAfter|peer certificate: Expired|certificate.{0,60}has expired"),
    (_TLS, "10", r"uses (?:an )?expired certificate"),
    (_TLS, "certificate", r"fingerprint does not match"),
    # as Mozilla's programs name it
    (_TLS, "19", r"PKIX_ERROR_MITM_DETECTED"),
    (_TLS, "18", r"PKIX_ERROR_SELF_SIGNED_CERT"),
    (_TLS, "9", r"PKIX_ERROR_NOT_YET_VALID"),
    (_TLS, "10", r"SEC_ERROR_EXPIRED_(?:ISSUER_)?CERTIFICATE"),
    (_TLS, "62", r"SSL_ERROR_BAD_CERT_DOMAIN"),
    (_TLS, "20", r"SEC_ERROR_(?:UNKNOWN_ISSUER|UNTRUSTED_ISSUER|UNTRUSTED_CERT)|PKIX_ERROR_V1_CERT"),
    (_TLS, "certificate", r"PKIX_ERROR_[A-Z]|SEC_ERROR_[A-Z_]{0,40}(?:CERT|OCSP|CA_)|SSL_ERROR_BAD_CERT"),
    (_TLS, "UNSUPPORTED_PROTOCOL", r"SSL_ERROR_(?:UNSUPPORTED_VERSION|NO_CYPHER_OVERLAP|PROTOCOL_VERSION_ALERT)"),
    (_TLS, "WRONG_VERSION_NUMBER", r"SSL_ERROR_RX_RECORD_TOO_LONG"),
    (_TLS, "eof", r"PR_END_OF_FILE_ERROR"),
    (_CONNECT, "refused", r"NS_ERROR_CONNECTION_REFUSED|PR_CONNECT_REFUSED"),
    (_CONNECT, "timeout", r"NS_ERROR_NET_TIMEOUT"),
    (_LATER, "reset", r"NS_ERROR_NET_(?:RESET|INTERRUPT)|PR_CONNECT_RESET"),
    (_TLS, "64", r"IP address mismatch|IP address.{0,40}not match|cannot validate certificate for \d[\d.]+"),
    (_TLS, "62", r"hostname mismatch|ALTNAME_INVALID|NameMismatch|no alternative certificate subject name"),
    (_TLS, "62", r"certificate.{0,80}(?:does ?n[o']t match|not valid for|did not match|NotValidForName)"),
    (_TLS, "62", r"(?:hostname|domain|host name).{0,60}(?:does ?n[o']t|did not|do not) match"),
    (_TLS, "62", r"certificate is valid for|(?:host|domain|server|common)[- ]?name mismatch"),
    (_TLS, "62", r"No subject alternative|No name matching|legacy Common Name field|did not match expected CN"),
    (_TLS, "62", r"SEC_E_WRONG_PRINCIPAL|target principal name is incorrect"),
    (_TLS, "20", r"SEC_E_UNTRUSTED_ROOT|issued by an authority that is not trusted"),
    (_TLS, "62", r"IP/host ?name.{0,40}not match|contain any IP SANs"),
    (_TLS, "20", r"unable to get (?:local )?issuer|unable to verify the first certificate|unknown[_ ]ca\b"),
    (_TLS, "20", r"UNABLE_TO_(?:GET|VERIFY)|PKIX path building failed|signed by (?:an )?unknown authority"),
    (_TLS, "20", r"UnknownIssuer|known issuer|UntrustedRoot|PartialChain|issuer (?:is )?(?:not trusted|unknown)"),
    (_TLS, "20", r"unable to find valid certification path|not trusted by the trust provider|untrusted root"),
    (_TLS, "20", r"1f:? ?0x80"),
    (_TLS, "20", r"issuer certificate.{0,60}not be found|root CA certificate is not trusted"),
    (_TLS, "79", r"Missing (?:Authority|Subject) Key Identifier|Basic Constraints of CA cert"),
    (_TLS, "79", r"CA cert does not include"),
    (_TLS, "CA_MD_TOO_WEAK", r"(?:ca|ee)[ _](?:md|key|certificate key)[ _]too[ _](?:weak|small)"),
    (_TLS, "certificate", r"CERTIFICATE_VERIFY_FAILED|certificate verif\w+ failed|remote certificate (?:is|was) "),
    (_TLS, "certificate", r"(?:bad|invalid|unsupported)[ _](?:peer )?certificate"),
    (_TLS, "certificate", r"tls_process_server_certificate"),
    (_TLS, "certificate", r"certificate (?:unknown|revoked|rejected)"),
    (_TLS, "certificate", r"Remotezertifikat|certificat distant|certificado remoto|certificato remoto"),
    (_TLS, "certificate", r"zdalny certyfikat|vzd.len. certifik.t"),
    # the handshake
    (_TLS, "WRONG_VERSION_NUMBER", r"wrong[ _]version[ _]number|unknown protocol|record[ _]layer[ _]failure"),
    (_TLS, "WRONG_VERSION_NUMBER", r"packet[ _]length[ _]too[ _]long|does not look like a TLS handshake|http request"),
    (_TLS, "WRONG_VERSION_NUMBER", r"(?:un(?:recognized|supported)|unsupported or unrecognized) SSL message"),
    (_TLS, "WRONG_VERSION_NUMBER", r"plaintext connection\?"),
    (_TLS, "WRONG_VERSION_NUMBER", r"InvalidContentType|unexpected TLS packet|unexpected packet format"),
    (_TLS, "WRONG_VERSION_NUMBER", r"corrupted frame"),
    (_TLS, "WRONG_VERSION_NUMBER", r"typically reserved for plain-?text|port \d+ does not support (?:SSL|TLS)"),
    (_TLS, "WRONG_VERSION_NUMBER", r"not an? (?:SSL|TLS) port"),
    (_TLS, "UNSUPPORTED_PROTOCOL", r"unsupported[ _]protocol|protocol[ _]version|handshake[ _]failure"),
    (_TLS, "UNSUPPORTED_PROTOCOL", r"dh[ _]key[ _]too[ _]small|no (?:protocols available|appropriate protocol)"),
    (_TLS, "UNSUPPORTED_PROTOCOL", r"legacy[ _]sigalg|unsafe[ _]legacy[ _]renegotiation"),
    (_TLS, "UNSUPPORTED_PROTOCOL", r"no[ _](?:shared )?ciphers?[ _]?"),
    (_TLS, "UNSUPPORTED_PROTOCOL", r"wrong[ _]signature[ _]type|insufficient[ _]security|protocol is disabled"),
    (_TLS, "UNSUPPORTED_PROTOCOL", r"do not possess a common"),
    (
        _TLS,
        "starttls-not-offered",
        r"STARTTLS (?:extension |command )?(?:is )?not (?:supported|available|offered|advertised)",
    ),
    (
        _TLS,
        "starttls-not-offered",
        r"(?:does(?: not|n't)|not) (?:support|offer|advertise) (?:the )?(?:STARTTLS|secure conn|TLS)",
    ),
    (_TLS, "starttls-not-offered", r"STARTTLS (?:is|was) required but"),
    (_TLS, "starttls-not-offered", r"support (?:TLS via )?(?:the )?STARTTLS (?:command|extension)"),
    (_TLS, "eof", r"EOF occurred in violation of protocol|unexpected[ _]eof[ _]while|before secure TLS connection"),
    (_TLS, "eof", r"SSL_ERROR_SYSCALL"),
    (_TLS, "eof", r"terminated the handshake|(?:closed|reset|lost|aborted).{0,40} during (?:the )?handshake"),
    (_TLS, "eof", r"handshake.{0,40}(?:EOF|reset|closed)"),
    (_TLS, "eof", r"SSL_connect SYSCALL"),
    (_TLS, "timeout", r"handshake.{0,30}tim(?:ed|e)[- ]?out"),
    (_TLS, "starttls-not-offered", r"0x800CCC7D|Requested SSL level failed|missing_requirement.{0,60}\btls"),
    (_TLS, "WRONG_VERSION_NUMBER", r"0x800CCC1A"),
    (_TLS, "starttls-not-offered", r"STARTTLS since it doesn't advertise"),
    # the login
    (_LOGIN, "auth-not-offered", r"AUTH extension not supported"),
    (_LOGIN, "auth-not-offered", r"AUTH(?:entication)? (?:is )?not (?:supported by|advertised)"),
    (_LOGIN, "auth-not-offered", r"does(?: not|n't) (?:support|offer|advertise) (?:SMTP )?auth"),
    (_LOGIN, "no-mechanism", r"no (?:supported |suitable |compatible |common )?auth\w* (?:mechanism|method|type)"),
    (_LOGIN, "no-mechanism", r"(?:mechanism|method)s? (?:is |are )?(?:not )?supported by both"),
    (_LOGIN, "plain-login", r"unencrypted connection|wrong host name"),
    (_LOGIN, "plain-login", r"refus\w+ to (?:send|authenticate).{0,40}(?:plain|unencrypted)"),
    (_LOGIN, "auth-not-offered", r"missing_requirement.{0,60}\bauth"),
    (
        _LOGIN,
        "no-mechanism",
        r"(?:un(?:recogni[sz]ed|known|supported)|wrong|invalid) auth\w* (?:type|method|mechanism)",
    ),
    (_LOGIN, "no-mechanism", r"support (?:the selected authentication method|encrypted passwords)"),
    (_LOGIN, "no-mechanism", r"cannot use a secure authentication method|no mechanism available|no worthy mechs"),
    # the connection
    (_CONNECT, "refused", r"ECONNREFUSED|connection (?:was )?refused|actively refused|\b10061\b"),
    (_CONNECT, "refused", r"refused (?:the )?connection"),
    (_CONNECT, "unreachable", r"EHOSTUNREACH|ENETUNREACH|no route to host|network is unreachable|host is down"),
    (_CONNECT, "unreachable", r"unreachable (?:host|network)|\b100(?:51|65)\b|EADDRNOTAVAIL"),
    (_CONNECT, "unreachable", r"cannot assign requested address"),
    (_GREET, "timeout", r"Greeting never received|waiting for (?:the )?(?:initial )?(?:server )?greeting"),
    (_CONNECT, "timeout", r"ETIMEDOUT|ESOCKETTIMEDOUT|timed[- ]out|TimeoutError|did not properly respond|i/o timeout"),
    (_CONNECT, "timeout", r"connect\w* time-?out|SocketTimeout|time-?out (?:when|while|during|expired)|\b10060\b"),
    (_CONNECT, "timeout", r"deadline (?:has )?e(?:xceeded|lapsed)"),
    (_LATER, "reset", r"ECONNRESET|connection (?:was )?reset|forcibly closed|broken pipe|EPIPE|\b10054\b"),
    (_LATER, "reset", r"(?:been|was) aborted"),
    (_LATER, "closed", r"connection (?:was |has been )?(?:unexpectedly )?(?:closed|lost|dropped)|lost connection"),
    (_LATER, "closed", r"connection to .{1,120} (?:has been|was) closed unexpectedly|\[EOF\]|Empty reply from server"),
    (_LATER, "closed", r"unexpectedly disconnected"),
    (_LATER, "closed", r"socket hang ?up|ServerDisconnected|closed the connection"),
    (_LATER, "closed", r"(?:^|[:\s])EOF[\s'\")]*$|unexpected EOF"),
    (_CONNECT, "timeout", r"execution expired|OpenTimeout|ReadTimeout|0x800CCC19|0x8004210A|error, :timeout"),
    (_LATER, "closed", r"was lost in the middle of the transaction"),
    (_GREET, "not-smtp", r"Invalid greeting"),
    (_LATER, "closed", r"end of file reached|EOFError|but connection died|0x800CCC0F"),
    (_LATER, "timeout", r"read/timeout|time-?out (?:while |when )?reading"),
    # Windows in other languages
    (_LATER, "reset", r"vom Remotehost geschlossen|ferm.e par l'h.te distant|conexi.n existente por el host remoto"),
    (_LATER, "reset", r"interrotta forzatamente|zamkni.te przez zdalnego hosta|hostitel vynucen. ukon.il"),
    (_LATER, "reset", r"geforceerd gesloten|conex.o existente pelo host remoto"),
    (_CONNECT, "refused", r"Verbindung verweigerte|expressément refus.e|deneg. expresamente|Rifiuto persistente"),
    (_CONNECT, "refused", r"aktywnie go odmawia|aktivn. odm.tl|recusou ativamente|actief heeft geweigerd"),
    (_CONNECT, "timeout", r"nicht ordnungsgem.. reagiert|pas r.pondu convenablement|no respondi. adecuadamente"),
    (_CONNECT, "timeout", r"nie odpowiedzia.a poprawnie|neodpov.d.la|n.o respondeu corretamente|Risposta non corretta"),
    # where nothing more is told
    (_LOGIN, "535", r"Login denied|(?:unable to|failed to|could not) authenticate|rejected your login"),
    (_LOGIN, "535", r"(?:login|log-?on|authentication|authorization) (?:\w+ ){0,5}failed"),
    (_LOGIN, "535", r"user ?name (?:and|or|/) ?password (?:\w+ ){0,2}(?:not accepted|incorrect|wrong|rejected)"),
    (_LOGIN, "535", r"(?:incorrect|wrong|invalid|bad) (?:user ?name|login|e-?mail) (?:or|and|/) ?password"),
    (_LOGIN, "535", r"Anmeldung.{0,60}(?:fehlgeschlagen|gescheitert)|p.ihl..en..{0,60}(?:selhal|nezda.il|nepoda.il)"),
    (_LOGIN, "535", r"chec.{0,30}authentification|identification.{0,60}chou|authenticat\w+ (?:error|failure)"),
    (_TLS, "failed", r"handshake (?:failed|error|has failed)|(?:establish|negotiat)\w+.{0,30}(?:SSL|TLS)"),
    (
        _TLS,
        "failed",
        r"(?:SSL|TLS)\w* (?:handshake|error)|secure connection (?:\w+ ){0,6}(?:failed|refused|impossible)",
    ),
    (_TLS, "failed", r"SSLHandshakeException|SSLException|SslHandshakeException|convert socket to TLS"),
    (_TLS, "failed", r"tls_alert|SSL_connect returned|SSL connect attempt failed|TLS setup failed"),
    (_CONNECT, "failed", r"connecting to .{0,80} failed"),
    (_CONNECT, "failed", r"0x800CCC0E|0x80042109|Cannot open \S+:\d+|able to establish an SMTP connection"),
    (_CONNECT, "failed", r"SMTP connect\(\) failed|Could ?n[o']t connect to (?:the )?(?:SMTP )?(?:host|server)"),
    (_CONNECT, "failed", r"ECONNECTION|ESOCKET"),
    (_CONNECT, "failed", r"Verbindung .{0,40}(?:nicht hergestellt|fehlgeschlagen)|impossible de se connecter"),
    (_CONNECT, "failed", r"no se pu(?:do|ede) conectar|impossibile (?:connettersi|stabilire)|nie mo.na po..czy"),
    (_CONNECT, "failed", r"(?:nelze|nepoda.ilo) se p.ipojit|kan geen verbinding|n.o foi poss.vel conectar"),
    (_CONNECT, "failed", r"(?:unable|failed|could not|cannot) (?:to )?connect"),
    (_CONNECT, "failed", r"connection (?:could not be established|failed)|MailConnectException"),
)
_CLASSES = {
    "dns": ConnectError,
    "connect": ConnectError,
    "tls": TLSError,
    "sasl": LoginError,
    "settings": SettingsError,
    "message": MessageError,
    "smtp": Refused,
}


def written_by_programs(text: str) -> Iterator[FrankingError]:
    """Yield an error for each line whose words the text has."""
    text = " ".join(text.split())  # a window or a terminal may have broken the lines
    for (kind, step), reason, pattern in _WRITTEN:
        if re.search(pattern, text, re.IGNORECASE):
            evidence = Evidence(kind, reason=reason)
            if kind == "sasl" and reason.isdigit():
                evidence = Evidence(kind, code=int(reason))
            elif kind == "message":
                evidence = Evidence(kind, reason=reason, details={"by_program": True})
            elif reason.isdigit():
                evidence = Evidence(kind, reason="certificate", details={"verify_code": int(reason)})
            yield {"timeout": ConnectTimeout}.get(reason, _CLASSES[kind])("", step=step, evidence=evidence)
