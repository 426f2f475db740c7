"""What a refusal is about where no phrase is known: a thing and what is wrong with it, anywhere in the words. Here are
the network, encryption, the login, limits and the server's own troubles; ``topics_mail.py`` has sender, recipient and
message.

Asked after all other words. Each asks for the step at which it can be meant, because a word alone proves little; where
two things are spoken of, the row that demands more decides, and of two that demand as many the one that stands first.
"""

from __future__ import annotations

from franking.diagnosis.words.refusals import Says
from franking.diagnosis.words.vocabulary import LONG, MAILS, SHORT, UP

__all__ = ["TOPICS"]

_SENT = ("message", "accepted")
_MUCH = "too_many|too_much|excessive|exceed*|heavy|flood*|over_limit|out_of"
_BROKEN = (
    "error*|fail*|problem*|is_down|are_down|currently_down|temporarily_down|full|overload*|insufficient|exhausted"
    "|timeout|timed_out|crash*|broken|unreachable|not_responding|not_respond"
)
_AWAY = "unavailable|not_available|not_reach|not_running|down|away|gone|not_writable|can_not|could_not|unable"
_IP = "ip|ips|host|hosts|client|clients|network|range|subnet|computer|asn"
_PLACE = (
    "country|countries|geo*|location|region|abroad|overseas|foreign_ip|zahranici|zahranicia|ausland|etranger|zagranic*"
    "|extranjero|estero|exterior|buitenland"
)
_NOT_LET_IN = (
    "not_allowed|not_permitted|not_authorized|not_authorised|unauthorized|unauthorised|not_whitelisted|not_registered"
    "|not_on|disallowed|prohibited|forbidden|not_welcome|neni_povolen*|nepovolen*|nicht_erlaubt|nicht_zugelassen"
    "|interdit*|non_autorise*|no_permitid*|non_consentit*|nao_permitid*|niedozwolon*|niet_toegestaan"
)
_SHUT_OUT = f"denied|deny|refused|rejected|blocked|banned|barred|restricted|zakazan*|gesperrt|only|{_NOT_LET_IN}"
_SECURE = (
    "tls|ssl|starttls|encrypt*|unencrypted|insecure|plaintext|plain_text|cleartext|clear_text|secure_connection*"
    "|verschlussel*|verschluessel*|unverschlusselt*|sifrovan*|nesifrovan*|zabezpecen*|chiffre*|cifrat*|cifrad*"
    "|criptograf*|versleutel*|szyfrowan*"
)
_NEEDED = (
    "must|require*|without|first|only|need*|mandatory|before|use|please_use|please_enable|enable|accepts_only"
    "|bitte|nur|muss|prosim|pouze"
    "|jen|povinn*|veuillez|requis*|obligatoire|obbligatori*|obligatori*|richiest*|requerid*|obrigatori*|exigid*"
    "|verplicht|vereist|wymagan*|tylko"
)
_IN_THE_OPEN = "unencrypted|insecure|plaintext|plain_text|cleartext|clear_text|unverschlusselt*|nesifrovan*|vulnerable"
_NOT_TAKEN = "not_allowed|not_permitted|not_accepted|denied|refused|rejected|disabled|disallowed|forbidden|prohibited"
_OFF = (
    "off|disabled|not_activated|not_active|inactive|not_enabled|not_included|not_include|deactivated|closed|locked"
    "|not_available|not_permitted|not_allowed|forbidden|vypnut*|zakazan*|zablokovan*|neaktivn*|nicht|gesperrt"
    "|deaktiviert|desactive*|bloque*|wylaczon*|zablokowan*|deshabilitad*|desactivad*|disabilitat*|disattivat*"
    "|desativad*|bloquead*|uitgeschakeld"
)

TOPICS: tuple[Says, ...] = (
    Says(
        "blocklisted",
        "black|blacklist*|blocklist*|block_list|block_listed|blocking_list & ip|ips|host|client|server|address",
        f"list|lists|database & spam|spammer|spammers|spamming|blocking|abusive|abusers & {_IP}|address|server"
        f"|sender_ip",
        "listed & spam|spammer|spammers|spamming|abuse & ip|ips|host|client|server|address",
        "rbl|dnsbl|rbls",
        step=("greet", "message"),
        codes=(5,),
        temporary=False,
    ),
    Says(
        "blocklisted",
        "ip|ips|host|hosts|address|range|network|connections & blocked|banned|barred|filtered",
        step=("greet",),
        temporary=False,
    ),
    Says(
        "client.no-reverse-dns",
        f"reverse|ptr|rdns|fcrdns|reverzni|zpetny|reversed & {_IP}|dns|address|no|not|missing|fail*|lookup|name",
        "hostname|host_name|name & ip|ip_address|your_address & match|matches|mismatch|resolve*|no|missing|not_find",
        f"unresolv*|not_resolve|not_resolv*|unresolvable & {_IP}|address",
        step=("greet",),
        temporary=False,
    ),
    Says(
        "client.ip-not-allowed",
        f"{_PLACE} & {_SHUT_OUT}",
        f"ip|ips|host|hosts|client|clients|network|range|subnet|computer & {_NOT_LET_IN}",
        step=("greet", "login"),
        codes=(5,),
        temporary=False,
    ),
    Says(
        "client.ip-not-allowed",
        f"{_PLACE} & {_SHUT_OUT} & login*|connect*|access|mail|mails|email|traffic|ip",
        f"ip|ips|your_host|this_host|client|client_address|network|subnet & {_NOT_LET_IN}"
        " & server|service|account|connect*|access|relay|this|address",
        step=("message",),
        details={"what": ("sender", "recipient")},
        codes=(5,),
        temporary=False,
    ),
    Says(
        "greet.name-refused",
        "helo*|ehlo*",
        step=("greet",),
        codes=(4, 5),
        temporary=False,
    ),
    Says(
        "greet.name-refused",
        "hostname|host_name|fqdn|localhost|domain|domain_name|literal|address|argument*",
        step=("greet",),
        codes=(501, 504),
        temporary=False,
    ),
    Says(
        "greet.name-refused",
        "impersonat*|forged|fake|faked|bogus|not_localhost|pretend*|claim*"
        " & host|hostname|host_name|name|localhost|server|domain",
        step=("greet",),
        codes=(5,),
        temporary=False,
    ),
    Says(
        "greet.name-refused",
        "helo*|ehlo* & domain|name|host|hostname|resolve*|argument|invalid|fqdn|qualified|literal|forged|fake|faked"
        "|bogus|wrong|bad|impersonat*|spoof*",
        step=("message",),
        codes=(501, 504, 550, 553, 554),
        temporary=False,
    ),
    Says(
        "rate.connections",
        f"connection*|connect|connects|sessions & {_MUCH}",
        "connection*|connects|sessions & limit*|maximum|max|only|reached & per|host|ip|client|from|your|active"
        "|open|concurrent|simultaneous",
        step=("greet",),
        temporary=True,
    ),
    Says(
        "login.too-many",
        f"fail*|attempt*|tries|bad|errors & auth*|login*|logon* & {_MUCH}",
        "login*|logon*|auth*|sign_in|account|ip|mailbox & lock*|block*|banned|suspended|paused|wait"
        " & repeated|wrong|failed|failures|attempts|incorrect",
        step=("greet", "login"),
        temporary=True,
    ),
    Says(
        "login.needs-tls",
        f"{_SECURE} ~ {_NEEDED}",
        f"{_NEEDED} ~ {_SECURE}",
        f"{_IN_THE_OPEN} & {_NEEDED}|{_NOT_TAKEN}",
        step=("login",),
        codes=(5,),
        temporary=False,
    ),
    Says(
        "login.app-password",
        "two_factor|2fa|two_step|2_step|mfa|multi_factor|otp & password|passwords|passcode|app|enabled|required|active"
        "|on",
        step=("login",),
        codes=(5,),
        temporary=False,
    ),
    Says(
        "login.access-off",
        f"smtp|pop3|imap|pop & {_OFF} & access|pristup|zugang|zugriff|acces|dostep|acceso|accesso|acesso|toegang"
        f"|service"
        "|user|mailbox|account|sending|mailboxes|schranka|ucet|postfach|konto",
        "access|client|clients|mail_clients|mail_programs|third_party|external & turned_off|switched_off|is_off"
        "|is_disabled|been_disabled|not_activated|not_enabled|not_switched_on",
        "plan|package|tariff|subscription & smtp|mail_clients|imap|pop3 & not|upgrade|only",
        step=("login",),
        codes=(5,),
        temporary=False,
    ),
    Says(
        "login.account-disabled",
        "password & must_be_changed|must_change|change_your|needs_to_be_changed|be_reset|must_reset|expire*|outdated",
        "account|mailbox|password|user & hacked|compromised|stolen|breach*|leaked",
        step=("login",),
        codes=(5,),
        temporary=False,
    ),
    Says(
        "tls.required",
        f"{_SECURE} ~ {_NEEDED}|{_NOT_TAKEN}",
        f"{_NEEDED} ~ {_SECURE}",
        f"{_IN_THE_OPEN} & {_NEEDED}|{_NOT_TAKEN}",
        details={"what": ("sender", "recipient")},
        codes=(5,),
        temporary=False,
    ),
    Says(
        "login.missing",
        "auth*|login|logged|log_in|anonymous* & require*|must|please|first|need*|without",
        step=_SENT,
        codes=(5,),
        when=lambda _, values: bool(values.get("no_login")),
        temporary=False,
    ),
    Says(
        "rate.limited",
        f"{SHORT} & {MAILS}|limit*|rate & {UP}",
        "rate|frequency|throughput|throttl*|speed & limit*|exceed*|reached|high",
        "too_many|too_much|excessive|heavy|flood* & mail|mails|emails|messages|usage|sending|traffic|volume|rcpt"
        "|commands"
        "|requests",
        "same|identical|similar & too_many|many & mails|messages|emails|mail",
        step=("greet", *_SENT),
        temporary=True,
    ),
    Says(
        "quota.exceeded",
        f"{LONG} & {UP}",
        f"hour|hours|day|days & {MAILS} & {UP}|sent",
        "limit*|quota|allowance & sent|sending|send|outgoing|outbound|submission & reached|exceed*|over|hit|used",
        "limit*|kvota|cuota|cota|quota|kontingent & denni*|denny|denneho|hodinov*|dzienn*|godzinow*|tagesl*|taglich*"
        "|stundlich*|quotidien*|horaire|diari*|giornalier*|orario|dagelijks*|uurlimiet",
        "prevysh* ~ limit*",
        step=_SENT,
        temporary=True,
    ),
    Says(
        "service.account-inactive",
        "trial|demo|sandbox|evaluation|test_mode|free & account*|mode|plan|version & only|limited|restricted|not",
        step=_SENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "server.not-for-sending",
        "only|solely|just|exclusively & incoming|inbound|receiv* & server|host|mx|mail|mails|service",
        "mx & submission|submit|outgoing|sending|send|relay",
        step=("greet", *_SENT),
        codes=(5,),
        temporary=False,
    ),
    Says(
        "server.trouble",
        f"service|server|system|resource*|disk|memory|internal|dns & {_BROKEN}",
        f"database|backend|queue|storage|ldap|sql|filter*|scanner|spool & {_BROKEN}|{_AWAY}",
        "interne*|interno|interna|wewnetrzn*|vnitrni|interni|vnutorn* & fehler|erreur|error|errore|erro|blad|chyb*"
        "|fout",
        "auth*|login|credential*|password & backend|database|server|ldap|radius|service|directory"
        " & not|unreachable|unavailable|timeout|timed_out|can_not|could_not|fail*|error|down|neni|nedostupn*",
        "memory|fork|process & can_not|could_not|unable|out_of|low|not_enough",
        "server|sluzba|dienst|service|servicio|servizio|servico & nedostupn*|neni_dostupn*|nicht_verfugbar"
        "|nicht_erreichbar|indisponible|no_disponible|non_disponibile|indisponivel|niedostepn*",
        codes=(4,),
        who="provider",
        temporary=True,
    ),
)
