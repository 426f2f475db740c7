"""What a refusal of a sender, a recipient or a message is about where no phrase is known; how, ``topics.py`` tells."""

from __future__ import annotations

from franking.diagnosis.words.refusals import Says
from franking.diagnosis.words.vocabulary import ACCOUNT, DENIED, FALSE, FROM, STOPPED, WHO

__all__ = ["MAIL_TOPICS"]

_SENT = ("message", "accepted")
_SENDER = {"what": ("sender",)}
_RECIPIENT = {"what": ("recipient",)}
_CONTENT = {"what": ("message",)}
_NOT_THERE = "not_found|not_registered|not_added|not_listed|not_set_up|not_configured|unknown|missing|no_such|add"

MAIL_TOPICS: tuple[Says, ...] = (
    Says(
        "relay.denied",
        f"relaying & {DENIED}|fail*",
        f"relay ?access|attempt|attempts|traffic|check ?to|for|local ?@ ?is|was ?has ?been {DENIED}|fail*",
        f"{DENIED} ?to ?be ?a relay",
        step=_SENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "relay.denied",
        "external|foreign|remote|outside|other|non_local|nonlocal recipient*|domain*|address*|destination*|mail|mails"
        "|email"
        " ~ not|only|denied|refused|forbidden|prohibited|disabled|blocked",
        "not|no|never ~ external|foreign|remote|outside|other recipient*|domain*|address*|destination*",
        "only ~ local|internal|our|hosted recipient*|domain*|address*|users|user|mailboxes",
        "domain|domains|@ & not_hosted|not_local|not_handled|not_served|not_ours|not_here|not_one_of_ours"
        "|not_responsible",
        "not_local|nonlocal|not_hosted",
        details=_RECIPIENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "address.syntax",
        "sender|from|mailfrom & invalid|malformed|bad|illegal|improper",
        step=_SENT,
        codes=(501,),
        details=_SENDER,
        temporary=False,
    ),
    Says(
        "sender.not-owned",
        f"{FROM} & {FALSE}",
        f"from ~ {FALSE}",
        f"{FALSE} from",
        f"username|login|authenticated|authentication|credentials & {FALSE}",
        f"from|{FROM} & authenticated|authorized|authorised|login|logged|username|owner|owned & must|not|only|same"
        f"|equal*",
        step=_SENT,
        codes=(4, 5),
        details=_SENDER,
        temporary=False,
    ),
    Says(
        "sender.not-owned",
        "send|sending|use|using & may_not|can_not|not_allowed|not_permitted|must_not|forbidden|prohibited|denied"
        " & as|behalf|another_user|other_user|from|sender|this_address|alias|address",
        "alias|aliases|identity|identities|owner & sender|from|account|address & not|no|none",
        "z|from & teto_adresy|this_address & nesmite|nemuzete|can_not|may_not|not",
        details=_SENDER,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "sender.not-owned",
        "from & authenticated|login|logged|username|owner|owned & must|not|only|same|equal*|match*|belong*|conform*",
        details=_CONTENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "sender.not-verified",
        "domain|from|sender|address|identity & verify|verification|unverif*|validate|validation|confirm|confirmation"
        "|not_verif*|be_verif*|not_validat*|be_validat*|not_confirm*|be_confirm*"
        f" & {ACCOUNT}|first|before|must|please",
        details={"what": ("sender", "message")},
        codes=(5,),
        temporary=False,
    ),
    Says(
        "sender.not-verified",
        f"domain|from|sender|address|identity & {_NOT_THERE} & account|profile|dashboard|settings|panel|identity|us"
        f"|list",
        "domain|identity & not_configured|not_registered|not_set_up|not_enabled & sending|send|outgoing|smtp",
        details={"what": ("sender", "message")},
        codes=(5,),
        temporary=False,
    ),
    Says(
        "sender.unverifiable",
        "sender|return_path|return_address|mail_from & mailbox|user|account|address|bounces & not_exist|does_not_exist"
        "|nonexist*|non_existent|unknown|not_accept|not_found|undeliverable|no_such",
        details=_SENDER,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "sender.domain-unknown",
        "domain|host|mx|dns & unknown|unresolv*|nonexist*|non_exist*|null|invalid_domain|bad_domain"
        "|not_resolv*|not_be_resolv*|not_exist*|not_seem_to_exist|no_longer_exists|must_exist|must_resolve",
        details=_SENDER,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "sender.suspended",
        f"{ACCOUNT}|sending|outgoing|outbound & {STOPPED}",
        f"{ACCOUNT} & not_allowed_to_send|not_permitted_to_send|can_not_send|may_not_send",
        details=_SENDER,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "sender.suspended",
        f"sending|outgoing|outbound & {STOPPED}",
        f"your {ACCOUNT} & {STOPPED}",
        f"{ACCOUNT} & not_allowed_to_send|not_permitted_to_send|can_not_send|may_not_send",
        details=_CONTENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "sender.domain-unauthenticated",
        "sender|domain|message|mail|email & authentication|authenticated|authenticity & fail*|missing|required|not"
        "|lacks"
        "|pass|passed",
        details=_CONTENT,
        codes=(5,),
        who="admin",
        temporary=False,
    ),
    Says(
        "recipient.too-many",
        "recipient_limit|rcpt_limit|recipients_limit|recipient_count|number_of_recipients & exceed*|reached|over|hit",
        details=_RECIPIENT,
        codes=(4,),
        temporary=True,
    ),
    Says(
        "recipient.too-many",
        "recipients|rcpts|rcpt|addressees & reached|maximum|max|threshold|limit*|too_many|too_much|exceed*",
        details=_RECIPIENT,
        codes=(4,),
        temporary=True,
    ),
    Says(
        "recipient.too-many",
        "recipients|rcpts|rcpt|addressees & maximum|threshold|limit*|too_many|too_much|exceed*",
        details=_RECIPIENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "address.syntax",
        "character*|char|chars|syntax|malformed|format & address*|recipient|mailbox",
        details=_RECIPIENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "address.syntax",
        "character*|char|chars|syntax|malformed & address*|sender|from|mailbox",
        "domain & address*|sender|from|mailbox & missing|without|no_domain|required|must_contain|must_have|contain",
        "domain|domain_name ?name required|missing|needed|expected",
        details=_SENDER,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "address.syntax",
        "recipient|rcpt|to & domain & not_specified|missing|empty|unspecified|not_given",
        "email|e_mail ?address ?is invalid|not_valid",
        details={"what": ("recipient", "message")},
        codes=(5,),
        temporary=False,
    ),
    Says(
        "recipient.full",
        f"quota|full|storage|space|no_room|no_space|enough_room & {WHO}|box|maildir|disk",
        f"maximum|max|limit & size|capacity|messages & reached|exceed*|over|full|hit & {WHO}",
        details=_RECIPIENT,
        temporary=True,
    ),
    Says(
        "recipient.disabled",
        f"lock|locked|suspend*|disabled|inactiv*|frozen|closed|deactivat*|terminated|not_active|not_activated|archived"
        f"|geschlossen|gesperrt|cancelad*|cerrad*|chius*|ferme*|zamknie*|zrusen* & {WHO}|postfach|empfanger|schranka"
        f"|ucet"
        "|konto|boite|compte|cuenta|buzon|casella|caixa|skrzynka",
        "mailbox|account|inbox ?is ?has ?been blocked",
        "has_left|left|no_longer_works|no_longer_with|no_longer_employed|retired"
        " & company|organization|organisation|recipient|user|employee|person|firm|us",
        f"not_allowed_to_receive|not_permitted_to_receive|can_not_receive & {WHO}",
        details=_RECIPIENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "recipient.unknown",
        "nobody|no_one|no_body|noone|never_heard & name|address|here|there|user|mailbox",
        f"not_know|do_not_know|dont_know|does_not_know & {WHO}|address|email",
        f"not|isnt|no & here|in_our|in_the|on_this|at_this & {WHO}|address & directory|list|database|table|system"
        f"|server"
        "|here|domain|site",
        "no|without & account|mailbox|user & with|by|at|under|for & this|that|address|name|@",
        "takogo|takoy|net_takogo & polzovatel*|adres*|yaschik*",
        "nincs ilyen",
        "nie ma takiego|takiej",
        "prijemca|pouzivatel|schranka|adresat & neexistuje|neznam*|nenajden*",
        f"unknown|not_exist*|not_seem_to_exist|no_longer_exists|nonexist*|non_exist*|not_found|not_be_found"
        f" & {WHO}|address|email|e_mail",
        details=_RECIPIENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "recipient.policy",
        "only|solely & members|known|approved|registered|whitelisted|subscribers|internal|trusted|contacts"
        " & post|senders|sender|mail|mails|send|write|accept*|message|messages",
        "internal_use|internal_only|private_address|private_list|private_mailbox|not_public|company_internal",
        "restrict*|permission*|private|members|subscribers|whitelist*|allowlist* & recipient*|user|mailbox|group|list"
        "|addressee|owner",
        details=_RECIPIENT,
        codes=(5,),
        temporary=False,
        who="admin",
    ),
    Says(
        "recipient.suppressed",
        f"bounced|unsubscribed|opted_out|suppress*|complained & address|contact|email|before|previously|{WHO}",
        step=_SENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "recipient.busy",
        "recipient|mailbox|user|addressee & rate|too_much|too_many_messages|too_many_mails|too_fast|too_quickly",
        details=_RECIPIENT,
        codes=(4,),
        temporary=True,
    ),
    Says(
        "recipient.domain-unknown",
        "domain|host|mx|dns & resolve|resolved|resolv*|unresolv*|lookup & not|can_not|unable|fail*|could_not|no",
        details=_RECIPIENT,
        codes=(5,),
        temporary=False,
    ),
    Says("message.loop", "loop*", step=_SENT, details=_CONTENT, codes=(5,), temporary=False),
    Says(
        "message.too-large",
        "attachment*|message|mail|data|content & too_long|too_large|too_big|oversize*|too_heavy",
        "too much data",
        "size|length|bytes|megabytes|mb|kb & exceed*|limit*|maximum|max|threshold|too|over",
        "grosse|groesse|velikost|taille|rozmiar|tamano|dimensione|tamanho|grootte"
        " & maxim*|maximal*|uberschr*|ueberschr*|prekr*|depass*|przekr*|exced*|super*|massim*",
        details=_CONTENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "message.too-large",
        "size|bytes|megabytes|mb & exceed*|limit*|maximum|max|too_large|too_big|over & message|mail|declared|server"
        "|fixed"
        "|system|data",
        details=_SENDER,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "message.line-too-long",
        "line|lines & characters|chars|998|1000|octets|length & exceed*|long|longer|over|more|limit*|maximum",
        details=_CONTENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "message.line-ends",
        "line|lines|crlf|lf|newline* & ending*|terminat*|bare|stray|crlf & invalid|bad|wrong|must|not|illegal|missing",
        details=_CONTENT,
        temporary=False,
    ),
    Says(
        "message.virus",
        "infect*|virus*|trojan*|worm|worms|malware*|eicar|ransomware",
        "threat|threats & detected|found|blocked|contains|content|attachment",
        details=_CONTENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "message.blocked-content",
        "archive*|password_protected|encrypted_attachment*|encrypted_file*|encrypted_zip & not|refused|reject*"
        "|block*|forbid*|prohibit*|denied|disallow*|encrypted|unsupported|suspicious",
        "attachment* ~ not|refused|reject*|block*|forbid*|prohibit*|denied|disallow*|encrypted|unsupported|suspicious",
        "not|refuse*|reject*|block*|forbid*|prohibit*|denied|disallow*|encrypted|unsupported|suspicious ~ attachment*",
        "attachment*|file*|filetype|extension*|zip|executable*|macro* & block*|reject*|prohibit*|forbid*|denied|banned"
        "|danger*|disallow*|not_allowed|not_permitted|not_accepted|unsafe",
        details=_CONTENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "message.malformed",
        "header*|message_id|date|from_header|to_header|subject|sender_header|date_header & lack*|without|in_the_future"
        "|empty|absent|more_than_one|too_old|blank|no|not_present|not_valid|twice",
        "header*|rfc|rfc5322|rfc2822|rfc822|mime|message_id|subject|date|structure|boundary|format & missing|invalid"
        "|malformed|duplicate*|bad"
        "|multiple|wrong|wrongly|misformatted"
        "|illegal|incorrect|required|unparsable|parse*|parsing|compliant|violat*|broken|twice|too_many|requirement"
        "|not_exactly",
        details=_CONTENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "message.needs-smtputf8",
        "smtputf8|utf8|utf_8|internationali*|non_ascii & require*|not|need*|unsupported|support*",
        step=_SENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "message.spam",
        "score|scored|scores|scoring & high|above|over|exceed*|threshold|too|message|mail",
        "unwanted|undesirable|undesired|undesirable|advertis*|junk|ads|ube|uce|promotional & mail|mails|email|message"
        "|messages"
        "|content|refused|reject*|not",
        "content|body|text|subject|link|links|url|urls & scanner|filter*|scan|unacceptable|offensive|suspicious"
        "|prohibited"
        "|refused|reject*|inappropriate",
        details=_CONTENT,
        codes=(5,),
    ),
    Says(
        "server.policy",
        "local|company|site|our|corporate|administrative|administrator & rule|rules|policy|policies|restriction*",
        details=_CONTENT,
        codes=(5,),
        who="admin",
    ),
    Says(
        "greylisted",
        "first|first_time|unknown_to_us|not_seen|never_seen|new|unknown & contact|seen|sender|client|triplet|server"
        "|host"
        " & retry|try|later|again|deferred|minutes|come_back|wait|temporarily",
        "unknown_to_us|first_contact|seen_for_the_first_time|not_seen_before",
        details={"what": ("sender", "recipient")},
        codes=(4,),
        temporary=True,
    ),
)
