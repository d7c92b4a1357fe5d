"""Barcodes, QR codes, tables, and the fields of receipts and forms."""

from __future__ import annotations

from .form import Body, Forms, ImageRequest
from .sentence import IT

LABELS = (
    "(?:grand )?total(?: (?:amount|sum|price|due))?|sub ?-?total|amount(?: due| paid)?|balance(?: due)?|sum|tax|"
    "sales tax|vat|tip|discount|change|cash|(?:due|order|invoice|issue) date|date of birth|date|time|number|"
    "(?:invoice|order|customer|receipt|account|tax|table|phone|telephone|reference|serial|article|model) number|"
    "iban|bic|(?:first|last) name|surname|name|address|phone|telephone|e-?mail|customer|company|price|quantity|"
    "cashier|signature"
)
"""Labels of receipts and forms that may be asked for; what else is asked of a document is no field."""

_SUMS = "(?:grand )?total(?: (?:amount|price|due))?|sub ?-?total|vat|sales tax|(?:balance|amount) due|invoice number"
"""Those that stand on receipts alone, so that no document need be named."""

_DOCUMENT = r"(?:receipt|bill|invoice|form|document|letter|slip|ticket|statement|voucher|order)"

# -- the programs ----------------------------------------------------------------------------------------


def _field(request: ImageRequest) -> Body:
    label = request["label"]
    lines = (
        "fields = read_fields(image)",
        f'found = [name for name in fields if name.lower().strip(" .:#€$£") == "{label}"]',
        "if len(found) != 1:",
        f"""    raise NothingFound(f"no label '{label}' was read; those that were: {{', '.join(fields)}}")""",
        'print(f"written at the label: {found[0]}")',
    )
    return Body("str", "fields[found[0]]", lines)


def _fields(request: ImageRequest) -> Body:
    return Body("fields", "read_fields(image)")


def _table(request: ImageRequest) -> Body:
    return Body("rows", "read_table(image)")


def _barcode(request: ImageRequest) -> Body:
    return Body("str", "codes[0].label", _codes("barcode (EAN-13, EAN-8 or UPC-A)"))


def _barcodes(request: ImageRequest) -> Body:
    return Body("texts", "[code.label for code in find_barcodes(image)]")


def _qr_code(request: ImageRequest) -> Body:
    return Body("str", "best(find_qr_codes(image)).label")


def _codes(name: str) -> tuple[str, ...]:
    return (
        "codes = find_barcodes(image)",
        "if not codes:",
        f'    raise NothingFound("no {name} was read")',
        "if len(codes) > 1:",
        '    raise NothingFound(f"{len(codes)} barcodes were read: ask for all of them")',
    )


# -- the forms -------------------------------------------------------------------------------------------

_IN_IT = rf"(?: (?:in|on|of|from) {IT})?"
_READ = r"(?:read(?: out)?|scan|decode)"
_EXTRACT = r"(?:read(?: out)?|extract|transcribe|get)"
_THE_DOCUMENT = rf"(?:the|this|that|my) {_DOCUMENT}"

FORMS: Forms = {
    _field: (
        rf"(?:(?:what|which) is )?(?:the )?(?P<label>{LABELS}) (?:on|of|in) {_THE_DOCUMENT}",
        rf"(?:what|how much) is the (?P<label>{_SUMS})",
        rf"(?:what|which) (?P<label>{LABELS}) (?:is|stands) (?:written |printed )?(?:on|in) {_THE_DOCUMENT}",
        rf"how much is the (?P<label>{LABELS}) (?:on|of|in) {_THE_DOCUMENT}",
        rf"(?:read(?: out)?|find|extract|get) the (?P<label>{LABELS}) (?:on|of|in|from) {_THE_DOCUMENT}",
    ),
    _fields: (
        rf"{_EXTRACT} (?:the |this )form{_IN_IT}",
        rf"(?:list|show|what are|{_EXTRACT}) (?:all )?(?:of )?(?:the )?(?:fields|entries|key[ -]value pairs)"
        rf"(?: (?:of|in|on|from) (?:{_THE_DOCUMENT}|{IT}))?",
    ),
    _table: (
        rf"{_EXTRACT} (?:the|this) table{_IN_IT}(?: (?:as|into|row by row|in) ?(?:rows)?)?",
        rf"what (?:is|stands|is written) in (?:the|this) table{_IN_IT}",
        rf"what does (?:the|this) table{_IN_IT} (?:say|contain|hold)",
        r"(?:give|read|show) me (?:the|this) table(?: as (?:text|rows))?",
        r"read (?:the|this) table(?: out)? to me",
    ),
    _barcode: (
        rf"{_READ}(?: me)? (?:the|this) barcode{_IN_IT}",
        rf"(?:what is the )?barcode number{_IN_IT}",
        rf"what is the (?:ean|upc|gtin)(?: (?:code|number))?{_IN_IT}",
        rf"what does (?:the|this) barcode{_IN_IT} say",
        rf"what (?:is|stands) (?:on|in) (?:the|this) barcode{_IN_IT}",
        rf"what (?:is|are) the (?:number|digits?|code|content|value) (?:of|on|in|under) (?:the|this) barcode{_IN_IT}",
        rf"(?:what|which) (?:number|digits?|code) (?:is|are|does) (?:on|in|under) (?:the|this) barcode{_IN_IT}",
    ),
    _barcodes: (
        rf"{_READ} (?:all |all of )?(?:the )?barcodes{_IN_IT}",
        rf"what do (?:all )?(?:the|these) barcodes{_IN_IT} say",
    ),
    _qr_code: (
        rf"{_READ} (?:the|this) qr code{_IN_IT}",
        rf"what (?:is|stands) (?:on|in) (?:the|this) qr code{_IN_IT}",
        rf"what does (?:the|this) qr code{_IN_IT} (?:contain|hold)",
    ),
}  # fmt: skip
"""What builds a program → the sentences for it."""
