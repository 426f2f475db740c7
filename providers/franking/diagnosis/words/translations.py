"""What servers write in Spanish, Italian, Portuguese and Dutch. Czech, German, French and Polish words stand beside the
English ones in the tables of their subjects.
"""

from __future__ import annotations

from franking.diagnosis.words.refusals import Says

__all__ = ["LOGIN_TRANSLATIONS", "TRANSLATIONS"]

_LOGIN = ("login",)
_SENT = ("message", "accepted")
_SENDER = {"what": ("sender", "recipient", "message")}
_RECIPIENT = {"what": ("recipient",)}
_NOT_THE_SENDER = {"what": ("recipient", "message", None)}
_STOPPED = (
    "suspendid*|suspens*|bloquead*|deshabilitad*|desactivad*|inhabilitad*|sospes*|bloccat*|disabilitat*|disattivat*"
    "|desativad*|geblokkeerd|opgeschort|uitgeschakeld"
)
_WHO = (
    "usuario|destinatario|destinataria|buzon|direccion|cuenta|utente|casella|indirizzo|endereco|caixa|conta|gebruiker"
    "|ontvanger|geadresseerde|postvak"
)
_MAILS = "correos|mensajes|emails|mail|messaggi|mensagens|berichten|mails|e_mails"

TRANSLATIONS: tuple[Says, ...] = (
    Says(
        "blocklisted",
        "lista negra|nera",
        "listas negras",
        "zwarte lijst",
        "direccion|indirizzo|endereco ip ~ bloquead*|bloccat*",
        "ip adres ~ geblokkeerd",
        temporary=False,
    ),
    Says(
        "blocklisted",
        "liste noire",
        "czarn* list*|liscie",
        "chern* spisk*|spisok",
        step=("greet", "login", "message"),
        temporary=False,
    ),
    Says(
        "tls.required",
        "requiere|requerid*|obligatori*|richied*|richiest*|exig*|obrigatori*|necessari*|vereist|verplicht"
        " ~ tls|ssl|starttls|cifrad*|cifrat*|versleuteld*",
        "tls|ssl|starttls|cifrado|cifratura|criptografia|versleuteling"
        " ~ requerid*|obligatori*|richiest*|exigid*|obrigatori*|necessari*|vereist|verplicht",
        codes=(5,),
        temporary=False,
    ),
    Says(
        "login.account-disabled",
        f"cuenta|usuario|buzon|account|utente|casella|conta ~ {_STOPPED}|caducad*|scadut*|expirad*|verlopen",
        step=_LOGIN,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "login.too-many",
        "demasiados|demasiadas|troppi|troppe|muitas|muitos|te_veel"
        " ~ intentos|tentativi|tentativas|pogingen|inlogpogingen|errores|errori",
        temporary=True,
    ),
    Says(
        "login.missing",
        "requiere|requerida|necesita|necessita|precisa|necesaria|debe|obligatoria|richiede|richiesta|necessaria"
        "|obbligatoria|deve"
        "|requer|exige|exigida|obrigatoria|vereist|nodig|verplicht"
        " ~ autentic*|identific*|iniciar_sesion|login|inloggen|aanmelden|authenticatie",
        "autenticacion|identificacion|autenticazione|autenticacao|login|authenticatie|aanmelding|inloggen"
        " ~ requerid*|necesari*|obligatori*|richiest*|necessari*|obbligatori*|exigid*|obrigatori*|vereist|nodig"
        "|verplicht",
        "no|non|nao autenticad*|autenticat*|identificad*",
        "niet ingelogd|aangemeld|geauthenticeerd",
        step=_SENT,
        temporary=False,
    ),
    Says(
        "sender.suspended",
        f"cuenta|dominio|usuario|account|utente|casella|conta ~ {_STOPPED}",
        f"envio|envios|invio|invii|verzenden|verzending ~ {_STOPPED}",
        step=_SENT,
        details={"what": ("sender", "message")},
        codes=(5,),
        temporary=False,
    ),
    Says(
        "sender.not-owned",
        "remitente|mittente|remetente ~ no|non|nao"
        " ~ autorizad*|autorizzat*|permitid*|consentit*|coincid*|corrispond*|corresponde|pertenec*|apparten*|pertence",
        "afzender|afzenderadres ~ niet ~ toegestaan|geautoriseerd|overeen|bevoegd",
        "no|non|nao ~ autorizad*|autorizzat*|permiso|permissao|autorizzazione"
        " ~ enviar|inviare|spedire ~ como|como_este|come|desde|da",
        details=_SENDER,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "sender.domain-unknown",
        "dominio ~ remitente|mittente|remetente ~ no|non|nao ~ exist*|esiste|resuelve|valid*|encontrad*|trovat*",
        "domein ~ afzender ~ bestaat_niet|onbekend|niet",
        temporary=False,
    ),
    Says(
        "relay.denied",
        "relay|reenvio|retransmision|inoltro|retransmissao|doorsturen|relayen"
        " ~ denegad*|prohibid*|negat*|vietat*|rifiutat*|negad*|recusad*|proibid*|geweigerd|no_permit*|no_autoriz*"
        "|no_se_permite|non_permess*|non_consentit*|non_autorizzat*|nao_permit*|nao_autoriz*|niet_toegestaan",
        step=_SENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "quota.exceeded",
        "limite|cuota|cota|quota|limiet|quotum|maximum|maximo|massimo"
        f" ~ envio|envios|invio|invii|enviar|inviare|diari*|giornalier*|hora|ora|dia|giorno|dag|uur|{_MAILS}"
        " ~ excedid*|superad*|alcanzad*|superat*|raggiunt*|atingid*|ultrapassad*|overschreden|bereikt",
        "excedid*|superad*|superado|alcanzad*|superat*|raggiunt*|atingid*|atingiu|ultrapassad*|ultrapassou"
        "|overschreden|bereikt"
        " ~ limite|cuota|cota|limiet|maximum|maximo|massimo|numero|aantal"
        f" ~ envio|envios|invio|invii|enviar|inviare|diari*|giornalier*|hora|ora|dia|giorno|dag|uur|{_MAILS}",
        step=_SENT,
        temporary=True,
    ),
    Says(
        "rate.limited",
        f"demasiados|demasiadas|troppi|troppe|muitas|muitos|te_veel ~ {_MAILS}",
        step=_SENT,
        temporary=True,
    ),
    Says(
        "recipient.full",
        "buzon|casella|caixa|postvak|mailbox ~ llen*|pien*|chei*|vol|lotad*",
        "buzon|casella|caixa|postvak|mailbox ~ cuota|cota|spazio|espacio|espaco|ruimte"
        " ~ excedid*|superad*|esaurit*|agotad*|esgotad*|overschreden",
        step=_SENT,
        details=_NOT_THE_SENDER,
        temporary=True,
    ),
    Says(
        "recipient.disabled",
        f"{_WHO} ~ {_STOPPED}",
        details=_RECIPIENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "recipient.unknown",
        f"{_WHO} ~ no_existe|desconocid*|inexistente|no_encontrad*|inesistente|sconosciut*|non_esiste|non_trovat*"
        "|nao_existe|desconhecid*|nao_encontrad*|onbekend|bestaat_niet|niet_gevonden",
        f"no_existe|desconocid*|non_esiste|sconosciut*|nao_existe|desconhecid*|onbekende ~ {_WHO}",
        step=_SENT,
        codes=(5,),
        details=_NOT_THE_SENDER,
        temporary=False,
    ),
    Says(
        "message.too-large",
        "mensaje|correo|adjunto|messaggio|allegato|mensagem|anexo|bericht|bijlage"
        " ~ demasiado_grande|troppo_grande|muito_grande|te_groot|excede|supera|eccede|ultrapassa|overschrijdt",
        "tamano|dimensione|dimensioni|tamanho|grootte"
        " ~ excede|excedid*|supera|superat*|eccede|ultrapassa|maximo|massim*|overschrijdt|maximum",
        temporary=False,
    ),
    Says(
        "message.spam",
        "correo no deseado",
        "posta indesiderata",
        "ongewenste e_mail|mail|post",
        step=_SENT,
    ),
    Says(
        "server.trouble",
        "error|fallo|errore|erro|fout|storing ~ temporal|interno|interna|temporane*|temporari*|tijdelijke|interne",
        "tijdelijke|interne fout|storing",
        "temporalmente|temporaneamente|temporariamente|tijdelijk"
        " ~ no_disponible|non_disponibile|indisponivel|niet_beschikbaar|onbeschikbaar",
        codes=(4,),
        who="provider",
        temporary=True,
    ),
    Says(
        "recipient.full",
        "quota|cuota|cota|kvota|kvoty|quotum|speicher*|kapazitat|espace|espacio|spazio|espaco|ruimte|miejsca"
        " & buzon|casella|boite|caixa|postvak|postbus|postfach*|schrank*|skrzynk*|empfanger*|destinat*"
        " & super*|exced*|depass*|uberschr*|prekroc*|przekroc*|oversch*|erschopft|insuffisant|esaurit*|brak|agotad*",
        "postbus|postvak is vol",
        "brak miejsca",
        "yashchik ~ perepolnen*|zapolnen*|polon",
        "kvot* ~ yashchik*|polzovatel*|poluchatel* & prevysh*",
        details=_RECIPIENT,
        temporary=True,
    ),
    Says(
        "recipient.unknown",
        "polzovatel*|poluchatel*|adresat*|adres|yashchik ~ ne_nayden*|ne_sushchestv*|neizvest*",
        "net takogo|takoy ~ polzovatel*|poluchatel*|adres*|yashchik*",
        details=_RECIPIENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "recipient.disabled",
        "yashchik|akkaunt|polzovatel* ~ otklyuch*|zablokir*|zamorozh*",
        details=_RECIPIENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "relay.denied",
        "encaminhamento|peresylk*|reley|retranslyats* ~ negad*|recusad*|proibid*|zapreshch*|ne_razresh*",
        details={"what": ("sender", "recipient")},
        codes=(5,),
        temporary=False,
    ),
    Says(
        "sender.not-owned",
        "otpravitel* ~ ne_razresh*|ne_sootvetstv*|ne_sovpad*|zapreshch*",
        "absender* ~ gehort|stimmt|passt ~ nicht|kein*",
        "expediteur ~ correspond ~ pas",
        "nadawc* ~ niedozwolon*|niezgodn*|nieuprawnion*",
        "odesilatel* ?je ?neni nepovolen*|neopravnen*",
        details=_SENDER,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "login.missing",
        "devi|deve|debe|debes|dovete ~ autentic*|identific*",
        "trebuetsya|neobkhodim* ~ autentif*|avtoriz*|vkhod",
        step=_SENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "login.account-disabled",
        "akkaunt|uchetn*|yashchik ~ zablokir*|otklyuch*|zamorozh*",
        step=_LOGIN,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "quota.exceeded",
        "dostignut*|prevysh*|ischerpan* ~ limit*",
        details={"what": ("sender", "message")},
        temporary=True,
    ),
    Says(
        "rate.limited",
        "slishkom chasto|mnogo|bystro",
        step=_SENT,
        temporary=True,
    ),
    Says(
        "message.too-large",
        "soobshchen*|pismo|vlozhen* ~ slishkom bolsh*|veliko*",
        "prevysh* ~ razmer*",
        details={"what": ("sender", "message")},
        codes=(5,),
        temporary=False,
    ),
    Says(
        "message.virus",
        "wirus*|virus* ~ wykryto|obnaruzhen*|nalezen*",
        "wykryto|obnaruzhen*|nalezen* ~ wirus*|virus*",
        details={"what": ("message",)},
        codes=(5,),
        temporary=False,
    ),
)

LOGIN_TRANSLATIONS: tuple[Says, ...] = (
    Says(
        "login.refused",
        "autenticacion|contrasena|usuario|credenciales|autenticazione|password|utente|credenziali|autenticacao|senha"
        "|wachtwoord|gebruikersnaam|authenticatie|aanmelding|inloggen"
        " ~ fallid*|fallo|fallado|incorrect*|invalid*|rechazad*|no_valid*|fallita|errat*|non_valid*|rifiutat*"
        "|non_riuscit*|falhou|incorret*|recusad*|rejeitad*|onjuist|ongeldig|mislukt|geweigerd",
        "fallo|error|errore|falha|erro|incorrect*|invalid*|errat*|onjuist|onjuiste|ongeldig|ongeldige"
        " ~ autenticacion|contrasena|credenciales|autenticazione|credenziali|autenticacao|senha|wachtwoord"
        "|gebruikersnaam|authenticatie",
        step=_LOGIN,
        codes=(5,),
        temporary=False,
    ),
)
"""As ``REFUSED_LOGIN``: no more than that a login was refused."""
