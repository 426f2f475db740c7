"""Words by which several tables name the same thing, or the same trouble: alternatives of one slot of a phrase."""

from __future__ import annotations

__all__ = ["ACCOUNT", "ALLOWED", "DENIED", "FALSE", "FROM", "LONG", "MAILS", "SHORT", "STOPPED", "UP", "WHO"]

FROM = (
    "sender|senders|from_address|from_header|header_from|from_field|mail_from|the_from|your_from|mailfrom|envelope"
    "|emetteur|absender*|odesilatel*|odosielatel*|expediteur|nadawc*|remitente"
    "|mittente|remetente|afzender"
)
WHO = "user|recipient|recipients|mailbox|account|inbox|addressee|person|customer|destination|rcpt"
ACCOUNT = "account|user|mailbox|domain|customer|subscription|workspace|tenant|organization|organisation"
MAILS = "mail|mails|email|emails|e_mail|e_mails|message|messages|recipients|rcpts"
ALLOWED = "allowed|permitted|authorized|authorised"
FALSE = (
    "invalid|fake|faked|forged|forgery|bogus|illegal|improper|incorrect|wrong|mismatch*|unmatched|match|matches"
    "|unvalidated|unverified|unauthorized|unauthorised|differ|differs|different|spoof*|conform*|belong*|non_local"
    "|nonlocal|not_local|not_owned|not_yours|foreign|not_an_alias|not_the_owner"
)
DENIED = "deny|denies|denied|refuse*|reject*|prohibit*|disallow*|forbid*|disabled|not"
STOPPED = "suspend*|suspension|disabled|locked|frozen|banned|deactivat*|paused|terminated|revoked|barred|on_hold"
UP = (
    "reached|achieved|hit|used|exhausted|over|above|maximum|max|threshold|limit*|quota|only|too_many|too_much"
    "|excessive|exceed*|heavy|flood*|over_limit|out_of"
)
LONG = (
    "daily|hourly|monthly|weekly|per_day|per_hour|per_month|per_week|a_day|an_hour|each_day|each_hour|this_hour|today"
    "|24h|24_hours|24_hour|past_hour|last_hour|last_day"
)
SHORT = (
    "per_second|per_minute|a_second|a_minute|per_session|per_connection|too_fast|too_quickly|frequency|interval|speed"
    "|short_time|short_period"
)
