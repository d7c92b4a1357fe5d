"""Requests about whole images without a language model: edits, measures, comparisons, codes, tables and forms.

No model reads them. A request is a sentence of one of the forms, with every word of it, or it is none of them: a word
that is passed over would make a wrong answer that nobody notices. The forms are tables: `edits.py` and `measures.py`
about one image, `several.py` about several, `documents.py` about what is written or printed. They are matched against
the request in one spelling (`sentence.py`). `claims.py` has requests that are refused if no form fits.
"""

from __future__ import annotations

from .reader import image_program

__all__ = ["image_program"]
